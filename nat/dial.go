package nat

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The source ports of connections that bear a client's address lie below the ephemeral
// ranges of Linux (32768 and up) and RFC 6335 (49152 and up), from which the client
// itself draws: the same source, port and destination twice would be one conntrack entry.
const (
	borrowedPortFirst = 10240
	borrowedPortLast  = 32767
)

// maxDialAttempts bounds the source ports tried. With a quarter of the 22,528 ports in
// use, all eight are taken once in 65,000 dials.
const maxDialAttempts = 8

// Dialer opens the router's own connections to servers.
type Dialer struct {
	// Timeout bounds Dial, all attempts together. Zero leaves it to the context.
	Timeout time.Duration

	// Taken, if not nil, tells whether a connection from source to destination is known
	// already, perhaps the client's own that was taken over. See Flows.Known.
	Taken func(source, destination netip.AddrPort) bool

	// Mark is set on the packets of sockets that bear a client's address, so that the
	// firewall can keep the host from translating it. Zero: none.
	Mark uint32

	// Steer is set on the packets of all sockets beside, for the host's ip rules. Zero: none.
	Steer uint32

	// Source is the address of this host from which a connection comes that bears no
	// client's address. Zero: the routing table chooses.
	Source netip.Addr
}

// Dial connects to server. If as is not zero, the server sees that client's address,
// but never its port; the packets of the answer must be brought back by Routing and a
// rule of the firewall, and it takes CAP_NET_ADMIN. The socket reads urgent data in
// line and sends keepalives. The errors are those of net.Dialer, wrapped.
func (d Dialer) Dial(ctx context.Context, server, as netip.AddrPort) (*net.TCPConn, error) {
	if d.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.Timeout)
		defer cancel()
	}
	server = netip.AddrPortFrom(server.Addr().Unmap(), server.Port())
	if !as.Addr().IsValid() {
		return d.dialFrom(ctx, server, netip.AddrPort{})
	}
	as = netip.AddrPortFrom(as.Addr().Unmap(), as.Port())
	if as.Addr().Is4() != server.Addr().Is4() {
		return nil, fmt.Errorf("connect to %s as %s: %w", server, as.Addr(), unix.EAFNOSUPPORT)
	}
	var err error
	for range maxDialAttempts {
		source := netip.AddrPortFrom(as.Addr(), borrowPort(as.Port()))
		if d.Taken != nil && d.Taken(source, server) {
			err = unix.EADDRINUSE
			continue
		}
		var conn *net.TCPConn
		conn, err = d.dialFrom(ctx, server, source)
		if err == nil {
			return conn, nil
		}
		if !errors.Is(err, unix.EADDRINUSE) && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("connect to %s as %s: no source port in %d attempts: %w",
		server, as.Addr(), maxDialAttempts, err)
}

// borrowPort draws a source port other than the client's own.
func borrowPort(except uint16) uint16 {
	for {
		port := uint16(borrowedPortFirst + rand.IntN(borrowedPortLast-borrowedPortFirst+1))
		if port != except {
			return port
		}
	}
}

func (d Dialer) dialFrom(ctx context.Context, server, source netip.AddrPort) (*net.TCPConn, error) {
	dialer := net.Dialer{KeepAlive: byOurselves}
	dialer.SetMultipathTCP(false)
	dialer.Control = func(network, _ string, raw syscall.RawConn) error {
		return control(raw, func(fd int) error {
			if err := setControlConnection(fd); err != nil {
				return err
			}
			switch {
			case source.IsValid():
				return borrowAddress(fd, network, d.Mark|d.Steer)
			case d.Source.IsValid():
				return errors.Join(setMark(fd, d.Steer), bindSource(fd))
			}
			return setMark(fd, d.Steer)
		})
	}
	if source.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(source)
	} else if d.Source.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(d.Source, 0))
	}
	// Without a source nothing is bound: connect(2) may share a port with connections to
	// other servers, bind(2) would look for one that nobody has.
	conn, err := dialer.DialContext(ctx, network(server.Addr()), server.String())
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", server, err)
	}
	return conn.(*net.TCPConn), nil
}

// borrowAddress prepares a socket that will bear a client's address. SO_REUSEADDR lets
// it share its source port with sockets that go to other servers or wait in TIME_WAIT.
func borrowAddress(fd int, network string, mark uint32) error {
	if err := setTransparent(fd, network); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fmt.Errorf("share the source port: %w", err)
	}
	return setMark(fd, mark)
}

func setMark(fd int, mark uint32) error {
	if mark == 0 {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark)); err != nil {
		return fmt.Errorf("mark the packets: %w", err)
	}
	return nil
}
