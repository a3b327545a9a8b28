package dialogue

import (
	"context"
	"net"
	"net/netip"
)

// Here is the network of the calling process.
type Here struct{}

// DialFrom connects; a zero address of ours leaves it to the kernel.
func (Here) DialFrom(ctx context.Context, from, to netip.AddrPort) (*net.TCPConn, error) {
	var dialer net.Dialer
	if from.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(from)
	}
	conn, err := dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// Listen listens for TCP of the address's family.
func (Here) Listen(ctx context.Context, at netip.AddrPort) (*net.TCPListener, error) {
	network := "tcp6"
	if at.Addr().Is4() {
		network = "tcp4"
	}
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	listener, err := config.Listen(ctx, network, at.String())
	if err != nil {
		return nil, err
	}
	return listener.(*net.TCPListener), nil
}
