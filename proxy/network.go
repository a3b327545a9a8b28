package proxy

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/ftpgate/ftpgate/proxy/policy"
)

// Network is the host as the proxy sees it.
type Network interface {
	// Arrival tells where an accepted connection comes from and goes to, and
	// by which way it came in.
	Arrival(net.Conn) (a policy.Arrival, way Way, err error)
	// Egress names the interface through which packets from one address to
	// another leave, and whether it is on the WAN side.
	Egress(to, from netip.Addr, mark uint32) (name string, wan bool, err error)
	// Steer is the mark by which the host leads packets, that come by one interface, out by another one; 0: they need none,
	// or none does it.
	Steer(from, to netip.Addr, in, out string) (mark uint32, err error)
	// Dial connects to a server for a client that has come by a way: from the
	// router's own address, or, if as is valid, from that client's address. The
	// context bounds the wait.
	Dial(ctx context.Context, server, as netip.AddrPort, client netip.Addr, way Way) (net.Conn, error)
}

// Way is what the host's routing may go by, beside addresses.
type Way struct {
	Via  string // interface
	Mark uint32 // of the packets, as the host gave it; 0: none
}

// Flow is one data connection as the kernel sees it.
type Flow interface {
	Began() <-chan struct{} // closed when its first packet has passed
	OnBegan(func())         // called once when Began is closed, or now if it is; must not block or call the Flow
	Ended() <-chan struct{} // closed when both sides have closed it, once that is due or Payload has been asked
	Closing()               // its end is due: it has been said that the transfer is over
	// Payload is what both directions have carried so far, in bytes,
	// approximately; known is false where the host does not count.
	Payload() (bytes uint64, known bool)
	// Unanswered returns when the first packet came, as long as none has gone
	// back; zero: one has, or it is not known.
	Unanswered() (since time.Time)
	Kill() error // cuts it
	Forget()     // ends the watch; idempotent
}

// leg is one of the two control connections of a session.
type leg struct {
	peer  netip.AddrPort // who is at its other end
	local netip.AddrPort // what that one sees of us
	via   string         // interface toward the peer; "" until it is asked for
	mark  uint32         // of the packets toward the peer, for the host's routing; 0: none
	wan   bool           // that interface is on the WAN side
	ours  bool           // local is an address of this host, not one that it bears for somebody
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 1 // RFC 2428 §2: IPv4
	}
	return 2 // IPv6
}

// addrPort reads a TCP address; IPv4-mapped forms are unmapped, since they are
// unequal to the same address in its plain form.
func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		ap := tcp.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// halfClose tells the peer that nothing more comes, so that what is on its way
// still arrives.
func halfClose(c net.Conn) {
	if h, ok := c.(interface{ CloseWrite() error }); ok && h.CloseWrite() == nil {
		return
	}
	c.Close()
}

const (
	// lingerTime is how long a connection that was closed on our side may take
	// to drain, so that the last reply is not lost to a reset.
	lingerTime = time.Second
	// orphanTime is how long a server may take to end a session whose client
	// has gone and whose data does not move.
	orphanTime = 30 * time.Second
)
