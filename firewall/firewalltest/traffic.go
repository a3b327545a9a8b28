//go:build kernel

package firewalltest

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	// Both waits are shorter than the first retransmission (1 s), so that every SYN counts.
	refusedWait  = 300 * time.Millisecond
	admittedWait = 900 * time.Millisecond
	ioWait       = 3 * time.Second
)

// echo is a server of the lab: it echoes, and tells who came.
type echo struct {
	addr netip.AddrPort
	came chan netip.AddrPort
}

func (l *lab) listen(ns netns.NsHandle, addr netip.Addr, port uint16) *echo {
	l.Helper()
	e := &echo{addr: netip.AddrPortFrom(addr, port), came: make(chan netip.AddrPort, 16)}
	var ln net.Listener
	l.in(ns, "listening on "+e.addr.String(), func() (err error) {
		ln, err = net.Listen("tcp", e.addr.String())
		return err
	})
	l.Cleanup(func() { ln.Close() })
	go e.serve(ln)
	return e
}

func (e *echo) serve(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		e.came <- conn.RemoteAddr().(*net.TCPAddr).AddrPort()
		go func() {
			io.Copy(conn, conn)
			conn.Close()
		}()
	}
}

// dialling is how a connection is tried.
type dialling struct {
	from netip.AddrPort
	by   string // interface of the client; "": as routed
	wait time.Duration
}

// dial tries a connection from the namespace of the client.
func (l *lab) dial(d dialling, to netip.AddrPort) (conn net.Conn, err error) {
	err = within(l.client, func() error {
		dialer := net.Dialer{
			Timeout:   d.wait,
			LocalAddr: net.TCPAddrFromAddrPort(d.from),
			Control: func(_, _ string, raw syscall.RawConn) (err error) {
				e := raw.Control(func(fd uintptr) {
					err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
					if err == nil && d.by != "" {
						err = unix.BindToDevice(int(fd), d.by)
					}
				})
				if err == nil {
					err = e
				}
				return err
			},
		}
		conn, err = dialer.DialContext(context.Background(), "tcp", to.String())
		return err
	})
	return conn, err
}

// refused demands that the connection does not come about.
func (l *lab) refused(what string, from netip.AddrPort, to netip.AddrPort) {
	l.Helper()
	l.refusedBy(what, dialling{from: from}, to)
}

func (l *lab) refusedBy(what string, d dialling, to netip.AddrPort) {
	l.Helper()
	d.wait = refusedWait
	if conn, err := l.dial(d, to); err == nil {
		conn.Close()
		l.Errorf("%s: a connection from %s to %s was admitted", what, d.from, to)
	}
}

// admitted demands that the connection comes about, carries data to e, and is seen there as seen; seen's port 0: any.
func (l *lab) admitted(from, to netip.AddrPort, e *echo, seen netip.AddrPort) net.Conn {
	l.Helper()
	conn, err := l.dial(dialling{from: from, wait: admittedWait}, to)
	if err != nil {
		l.Fatalf("from %s to %s: %v", from, to, err)
	}
	l.Cleanup(func() { conn.Close() })
	select {
	case came := <-e.came:
		if came.Addr() != seen.Addr() || seen.Port() != 0 && came.Port() != seen.Port() {
			l.Errorf("the server sees %s instead of %s", came, seen)
		}
	case <-time.After(ioWait):
		l.Fatalf("the connection to %s came to something else than %s", to, e.addr)
	}
	l.alive(conn)
	return conn
}

// alive demands that the connection carries data both ways.
func (l *lab) alive(conn net.Conn) {
	l.Helper()
	text := strconv.FormatInt(time.Now().UnixNano(), 10)
	conn.SetDeadline(time.Now().Add(ioWait))
	if _, err := io.WriteString(conn, text); err != nil {
		l.Fatalf("sending: %v", err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		l.Fatalf("echo: %q, %v", got, err)
	}
}

// notForwarded demands that no packet from the source to the port has passed the router: dropped ones leave no entry.
func (l *lab) notForwarded(from netip.Addr, port uint16) {
	l.Helper()
	l.in(l.router, "listing connections", func() error {
		family := netlink.InetFamily(unix.AF_INET6)
		if l.four {
			family = unix.AF_INET
		}
		flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, family)
		for _, f := range flows {
			if f.Forward.DstPort == port && f.Forward.SrcIP.Equal(from.AsSlice()) {
				l.Errorf("a packet has passed: %s", f)
			}
		}
		return err
	})
}
