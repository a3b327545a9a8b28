//go:build kernel

package nat

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// startRouter opens the transparent listeners of the lab's router behind its rules.
func startRouter(t *testing.T, l *lab, port int) []*net.TCPListener {
	t.Helper()
	var listeners []*net.TCPListener
	l.router.do(t, func() {
		var err error
		listeners, err = Listen(context.Background(), 0)
		must(t, err)
	})
	t.Cleanup(func() {
		for _, listener := range listeners {
			listener.Close()
		}
	})
	if len(listeners) != 2 {
		t.Fatalf("%d listeners, want one of each family", len(listeners))
	}
	l.takeOver(t, port, plainPort(listeners[0].Addr()).Port())
	routing := &Routing{Mark: testMark, Mask: testMask, Interfaces: []string{toClient, toServer}, IPv4: true, IPv6: true}
	l.router.do(t, func() { must(t, routing.Install()) })
	return listeners
}

func listenerOf(listeners []*net.TCPListener, address netip.Addr) *net.TCPListener {
	if address.Is4() {
		return listeners[0]
	}
	return listeners[1]
}

// A connection to any address is taken over, whatever the reverse path filter, and
// keeps both its addresses.
func TestTakeOver(t *testing.T) {
	l := newLab(t)
	listeners := startRouter(t, l, 21)
	for _, filter := range []string{"0", "1", "2"} {
		for _, scope := range []string{"all", toClient, toServer} {
			l.router.sysctl(t, "net.ipv4.conf."+scope+".rp_filter", filter)
			l.router.sysctl(t, "net.ipv4.conf."+scope+".src_valid_mark", "1")
		}
		for family, a := range families {
			for to, destination := range map[string]netip.Addr{"routed": a.server, "router": a.routerOut} {
				t.Run(family+"/rp_filter="+filter+"/"+to, func(t *testing.T) {
					dialled := netip.AddrPortFrom(destination, 21)
					client, err := l.client.dial(t, dialled)
					if err != nil {
						t.Fatal(err)
					}
					conn := accept(t, listenerOf(listeners, destination))
					if localOf(conn) != dialled || remoteOf(conn) != localOf(client) {
						t.Errorf("accepted %s from %s, want %s from %s", localOf(conn), remoteOf(conn), dialled, localOf(client))
					}
					if !Intercepted(conn) {
						t.Error("not seen as intercepted")
					}
					checkIngress(t, l, conn, toClient)
					if _, err := conn.Write([]byte("220 ready\r\n")); err != nil {
						t.Fatal(err)
					}
					read(t, client, "220 ready\r\n")
				})
			}
		}
	}
}

func checkIngress(t *testing.T, l *lab, conn *net.TCPConn, want string) {
	t.Helper()
	index, err := Ingress(conn)
	if err != nil {
		t.Fatal(err)
	}
	l.router.do(t, func() {
		name, err := routes(t).InterfaceName(index)
		if err != nil || name != want {
			t.Errorf("came by %q (index %d), %v; want %q", name, index, err, want)
		}
	})
}

func read(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Errorf("read %q, %v; want %q", got, err, want)
	}
}

// The listeners are out of reach for the network, and a direct local connection is told
// from one that was taken over.
func TestListenersAreNotReachableDirectly(t *testing.T) {
	l := newLab(t)
	listeners := startRouter(t, l, 21)
	for _, tables := range []string{"iptables", "ip6tables"} {
		l.router.run(t, tables+" -w -P INPUT ACCEPT")
	}
	for family, a := range families {
		t.Run(family, func(t *testing.T) {
			listener := listenerOf(listeners, a.client)
			own := plainPort(listener.Addr())
			if _, err := l.client.dial(t, netip.AddrPortFrom(a.routerIn, own.Port())); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("dialling the listener's port: %v, want refused", err)
			}
			if _, err := l.router.dial(t, own); err != nil {
				t.Fatal(err)
			}
			if Intercepted(accept(t, listener)) {
				t.Error("a direct connection is seen as intercepted")
			}
		})
	}
}

// A server sees the client's address, and its answers come back to us, even through a
// strict reverse path filter that regards marks.
func TestDialAsClient(t *testing.T) {
	l := newLab(t)
	startRouter(t, l, 21)
	for _, scope := range []string{"all", toClient, toServer} {
		l.router.sysctl(t, "net.ipv4.conf."+scope+".rp_filter", "1")
		l.router.sysctl(t, "net.ipv4.conf."+scope+".src_valid_mark", "1")
	}
	for family, a := range families {
		t.Run(family, func(t *testing.T) {
			listener := l.server.listenOn(t, netip.AddrPortFrom(a.server, 2021))
			client := netip.AddrPortFrom(a.client, 12345)
			conn := dialAs(t, l, Dialer{Timeout: testTimeout}, plainPort(listener.Addr()), client)
			served := accept(t, listener)
			source := remoteOf(served)
			if source.Addr() != a.client || source.Port() == client.Port() ||
				source.Port() < borrowedPortFirst || source.Port() > borrowedPortLast {
				t.Errorf("the server sees %s", source)
			}
			served.Write([]byte("220 hello\r\n"))
			read(t, conn, "220 hello\r\n")
			conn.Write([]byte("QUIT\r\n"))
			read(t, served, "QUIT\r\n")

			own := dialAs(t, l, Dialer{Timeout: testTimeout}, plainPort(listener.Addr()), netip.AddrPort{})
			defer own.Close()
			if seen := remoteOf(accept(t, listener)).Addr(); seen != a.routerOut {
				t.Errorf("without a client the server sees %s, want %s", seen, a.routerOut)
			}
		})
	}
}

func dialAs(t *testing.T, l *lab, dialer Dialer, server, as netip.AddrPort) (conn *net.TCPConn) {
	t.Helper()
	l.router.do(t, func() {
		var err error
		conn, err = dialer.Dial(context.Background(), server, as)
		must(t, err)
	})
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(testTimeout))
	return conn
}

// A source port in use leads to another, a bounded number of times.
func TestDialTriesOtherPorts(t *testing.T) {
	l := newLab(t)
	startRouter(t, l, 21)
	a := families["IPv4"]
	listener := l.server.listenOn(t, netip.AddrPortFrom(a.server, 2021))
	server, client := plainPort(listener.Addr()), netip.AddrPortFrom(a.client, 40000)

	var asked []netip.AddrPort
	dialer := Dialer{Timeout: testTimeout, Taken: func(source, destination netip.AddrPort) bool {
		asked = append(asked, source)
		return len(asked) < 3
	}}
	dialAs(t, l, dialer, server, client)
	if source := remoteOf(accept(t, listener)); source != asked[2] {
		t.Errorf("dialled from %s, want the third port asked for: %v", source, asked)
	}

	dialer.Taken = func(netip.AddrPort, netip.AddrPort) bool { return true }
	l.router.do(t, func() {
		if _, err := dialer.Dial(context.Background(), server, client); !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("with all ports taken: %v", err)
		}
		if _, err := dialer.Dial(context.Background(), server, netip.MustParseAddrPort("[fd01::2]:1")); !errors.Is(err, unix.EAFNOSUPPORT) {
			t.Errorf("with addresses of two families: %v", err)
		}
	})
}

// A dial is bounded by Timeout though nobody answers.
func TestDialTimeout(t *testing.T) {
	l := newLab(t)
	l.server.run(t, "iptables -w -A INPUT -p tcp --dport 2021 -j DROP")
	l.router.do(t, func() {
		begin := time.Now()
		_, err := Dialer{Timeout: 100 * time.Millisecond}.Dial(context.Background(),
			netip.AddrPortFrom(families["IPv4"].server, 2021), netip.AddrPort{})
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(begin) > testTimeout {
			t.Errorf("%v after %s, want a timeout", err, time.Since(begin))
		}
	})
}

// Urgent data is read in its place, on accepted and on dialled sockets.
func TestUrgentDataInLine(t *testing.T) {
	l := newLab(t)
	listeners := startRouter(t, l, 21)
	for family, a := range families {
		t.Run(family, func(t *testing.T) {
			client, err := l.client.dial(t, netip.AddrPortFrom(a.server, 21))
			if err != nil {
				t.Fatal(err)
			}
			accepted := accept(t, listenerOf(listeners, a.server))
			sendSynch(t, client)
			read(t, accepted, "\xff\xf4\xff\xf2ABOR\r\n")

			listener := l.server.listenOn(t, netip.AddrPortFrom(a.server, 2021))
			dialled := dialAs(t, l, Dialer{Timeout: testTimeout}, plainPort(listener.Addr()), netip.AddrPortFrom(a.client, 1))
			sendSynch(t, accept(t, listener))
			read(t, dialled, "\xff\xf4\xff\xf2ABOR\r\n")
			for name, conn := range map[string]*net.TCPConn{"accepted": accepted, "dialled": dialled} {
				checkOptions(t, name, conn)
			}
		})
	}
}

// sendSynch sends the Telnet Synch as clients do: IAC IP, then the IAC of DM urgently.
func sendSynch(t *testing.T, conn *net.TCPConn) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	conn.Write([]byte("\xff\xf4"))
	if err := control(raw, func(fd int) error { return unix.Send(fd, []byte("\xff"), unix.MSG_OOB) }); err != nil {
		t.Fatal(err)
	}
	conn.Write([]byte("\xf2ABOR\r\n"))
}

func checkOptions(t *testing.T, name string, conn *net.TCPConn) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for option, want := range map[[2]int]int{
		{unix.SOL_SOCKET, unix.SO_OOBINLINE}:   1,
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE}:   1,
		{unix.IPPROTO_TCP, unix.TCP_NODELAY}:   1,
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE}:  60,
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}: 15,
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT}:   4,
		{unix.SOL_SOCKET, unix.SO_PROTOCOL}:    unix.IPPROTO_TCP,
	} {
		var got int
		err := control(raw, func(fd int) (err error) {
			got, err = unix.GetsockoptInt(fd, option[0], option[1])
			return err
		})
		if err != nil || got != want {
			t.Errorf("%s: option %v is %d, %v; want %d", name, option, got, err, want)
		}
	}
}
