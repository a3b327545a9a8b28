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
	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/firewall"
)

// takeover: control connections come to the transparent listener, and replies to a socket with a client's address come
// back, through an INPUT chain that denies everything.
func takeover(s *subject) {
	b := s.installed()
	s.policyRouting()
	loopback := "[::1]"
	if s.four {
		loopback = "127.0.0.1"
	}
	var ln net.Listener
	s.in(s.router, "listening", func() (err error) {
		ln, err = s.transparent().Listen(context.Background(), "tcp", loopback+":"+strconv.Itoa(listenPort))
		return err
	})
	s.Cleanup(func() { ln.Close() })
	ftp := s.listen(s.server, s.serverAddr(), 21)
	client := port(s.clientAddr(), 0)

	conn, err := s.dial(dialling{from: client, wait: admittedWait}, ftp.addr)
	s.must("dialling a server that is taken over", err)
	defer conn.Close()
	ln.(*net.TCPListener).SetDeadline(time.Now().Add(ioWait))
	taken, err := ln.Accept()
	s.must("accepting what is taken over", err)
	defer taken.Close()
	if got := taken.LocalAddr().(*net.TCPAddr).AddrPort(); got != ftp.addr {
		s.Errorf("taken over with destination %s, want %s", got, ftp.addr)
	}
	s.refused("the router's own address is not taken over", client, port(s.lanAddr(), 21))
	s.refused("the listener is not reached directly", client, port(s.lanAddr(), listenPort))

	former := s.frame()
	former.Takeovers[0].Scope = firewall.Established
	s.must("taking established connections only", b.Install(former))
	go io.Copy(taken, taken)
	s.alive(conn)
	s.refused("a new connection to what was taken over under a former frame", client, ftp.addr)
	s.quiet(b)
	s.must("installing the first frame again", b.Install(s.frame()))
	s.alive(conn)

	var toServer net.Conn
	s.in(s.router, "dialling the server with the client's address", func() (err error) {
		d := net.Dialer{Timeout: ioWait, Control: s.spoofing,
			LocalAddr: net.TCPAddrFromAddrPort(port(s.clientAddr(), 10240))}
		toServer, err = d.Dial("tcp", ftp.addr.String())
		return err
	})
	defer toServer.Close()
	s.alive(toServer)
	s.in(s.router, "dialling the server with the router's address", func() (err error) {
		toServer, err = net.DialTimeout("tcp", ftp.addr.String(), ioWait)
		return err
	})
	defer toServer.Close()
	s.alive(toServer)
	if first, second := (<-ftp.came).Addr(), (<-ftp.came).Addr(); first != s.clientAddr() || second != s.wanAddr() && second != s.wanOther() {
		s.Errorf("the server sees %s and %s", first, second)
	}
}

// transparent makes sockets that may bear addresses of others.
func (s *subject) transparent() *net.ListenConfig {
	level, option := unix.SOL_IPV6, unix.IPV6_TRANSPARENT
	if s.four {
		level, option = unix.SOL_IP, unix.IP_TRANSPARENT
	}
	return &net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, 1) }); e != nil {
			return e
		}
		return err
	}}
}

// spoofing makes a socket that may bear a client's address, which no masquerading changes.
func (s *subject) spoofing(network, address string, raw syscall.RawConn) (err error) {
	if err := s.transparent().Control(network, address, raw); err != nil {
		return err
	}
	if e := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, takeoverMark)
	}); e != nil {
		return e
	}
	return err
}

// policyRouting delivers marked packets to the router itself, as package nat does in the daemon.
func (s *subject) policyRouting() {
	s.Helper()
	s.in(s.router, "routing marked packets", func() error {
		const table = 4600
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		all := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		family := unix.AF_INET6
		if s.four {
			all, family = netip.PrefixFrom(netip.IPv4Unspecified(), 0), unix.AF_INET
		}
		mask := uint32(markMask)
		for _, link := range []string{lan, wan} {
			rule := netlink.NewRule()
			rule.Family, rule.Mark, rule.Mask = family, takeoverMark, &mask
			rule.IifName, rule.Table, rule.Priority = link, table, 100
			if err := netlink.RuleAdd(rule); err != nil {
				return err
			}
		}
		dst := &net.IPNet{IP: all.Addr().AsSlice(), Mask: net.CIDRMask(0, all.Addr().BitLen())}
		return netlink.RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: dst, Table: table,
			Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST})
	})
}
