package nat

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A dead peer is noticed after 60 s + 4 × 15 s. The first probe comes early enough to
// keep the entry of a translating router on the way alive: RFC 5382 REQ-5 grants an
// established connection at least 2 h 4 min, but home routers forget it within minutes.
const (
	keepAliveIdle     = 60 // seconds, as the next one
	keepAliveInterval = 15
	keepAliveCount    = 4
)

// byOurselves keeps Go from setting keepalives: it would do so on each accepted socket,
// which has them from its listener.
const byOurselves time.Duration = -1

// Listen opens the listeners that TPROXY hands connections to: 127.0.0.1:port and, if
// the host has IPv6, [::1]:port. The local address of an accepted connection is the
// address that the client dialled. Bound to the loopback address, a listener is out of
// reach for everybody whom no TPROXY rule with --on-ip 127.0.0.1 or --on-ip ::1 sends;
// only a local process can dial it directly (see Intercepted).
//
// Accepted sockets read urgent data in line (RFC 1123 4.1.2.10) and send keepalives.
// A port of 0 lets the kernel choose one; it may turn out to be taken in the second
// family. It takes CAP_NET_ADMIN. The caller closes the listeners.
func Listen(ctx context.Context, port uint16) ([]*net.TCPListener, error) {
	loopbacks := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	if HasIPv6() {
		loopbacks = append(loopbacks, netip.IPv6Loopback())
	}
	config := net.ListenConfig{Control: controlListener, KeepAlive: byOurselves}
	// A transparent MPTCP listener (Go's default) would offer a client of an ordinary
	// server a second subflow to addresses of the router.
	config.SetMultipathTCP(false)

	var listeners []*net.TCPListener
	for _, address := range loopbacks {
		listener, err := config.Listen(ctx, network(address), netip.AddrPortFrom(address, port).String())
		if err != nil {
			for _, open := range listeners {
				open.Close()
			}
			return nil, fmt.Errorf("listen transparently on port %d: %w", port, err)
		}
		tcp := listener.(*net.TCPListener)
		port = tcp.Addr().(*net.TCPAddr).AddrPort().Port()
		listeners = append(listeners, tcp)
	}
	return listeners, nil
}

// Intercepted reports whether an accepted connection came by TPROXY. One that did not
// was dialled by a local process at the loopback address and bears no destination.
func Intercepted(accepted *net.TCPConn) bool {
	local := accepted.LocalAddr().(*net.TCPAddr).AddrPort().Addr()
	return !local.Unmap().IsLoopback()
}

// Ingress returns the index of the interface by which the client's handshake came.
// The kernel notes it in every socket that it accepts.
func Ingress(accepted *net.TCPConn) (ifindex int, err error) {
	raw, err := accepted.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("find the interface of a connection: %w", err)
	}
	ask := ingress4
	if isIPv6(accepted) {
		ask = ingress6
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { ifindex, failed = ask(int(fd)) }); err != nil {
		return 0, fmt.Errorf("find the interface of a connection: %w", err)
	}
	if failed != nil {
		return 0, fmt.Errorf("find the interface of a connection: %w", failed)
	}
	return ifindex, nil
}

func isIPv6(conn *net.TCPConn) bool {
	return conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().Is6()
}

func network(address netip.Addr) string {
	if address.Is4() {
		return "tcp4"
	}
	return "tcp6"
}

// controlListener prepares a listening socket. Go has set SO_REUSEADDR on it.
func controlListener(network, _ string, raw syscall.RawConn) error {
	return control(raw, func(fd int) error {
		return errors.Join(setTransparent(fd, network), setControlConnection(fd))
	})
}

// control runs f on the file descriptor of raw.
func control(raw syscall.RawConn, f func(fd int) error) error {
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// setTransparent lets a socket bear an address that is not the host's.
func setTransparent(fd int, network string) error {
	level, option := unix.SOL_IP, unix.IP_TRANSPARENT
	if network == "tcp6" {
		level, option = unix.SOL_IPV6, unix.IPV6_TRANSPARENT
	}
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		return fmt.Errorf("make the socket transparent (needs CAP_NET_ADMIN): %w", err)
	}
	return nil
}

// congestionControl is the plain one of RFC 5681, which every kernel has. A control
// connection says a line now and then; pacing by a timer (BBR, the default of some
// hosts) would cost it more than the line.
const congestionControl = "reno"

// setControlConnection prepares a socket for a control connection, or a listening one
// for all that it accepts.
func setControlConnection(fd int) error {
	if err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, congestionControl); err != nil {
		return fmt.Errorf("choose the congestion control: %w", err)
	}
	for _, option := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAliveIdle},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepAliveInterval},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveCount},
	} {
		if err := unix.SetsockoptInt(fd, option.level, option.name, option.value); err != nil {
			return fmt.Errorf("send keepalives: %w", err)
		}
	}
	return setUrgentInline(fd)
}

// setUrgentInline leaves urgent data in its place in the stream: the Telnet Synch of
// an ABOR comes as such data, and its last byte would otherwise be lost.
func setUrgentInline(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_OOBINLINE, 1); err != nil {
		return fmt.Errorf("take urgent data in line: %w", err)
	}
	return nil
}
