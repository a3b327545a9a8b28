package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/ftpgate/ftpgate/nat"
	"github.com/ftpgate/ftpgate/proxy/policy"
)

// Router is the real Network: this host with its two sides.
type Router struct {
	LAN, WAN []string // names of interfaces
	Mark     uint32   // of packets that bear a client's address; see nat.Dialer
	Mask     uint32   // the bits of a mark that are ours; the host's routing goes by the others
	Routes   *nat.Routes
	Flows    *nat.Flows  // knows the connections whose ports must not be used again
	Steered  func() bool // whether the host has ip rules of its own
}

// Arrival reads the origin of a connection from its socket: TPROXY keeps the
// dialled address as the local one, the kernel notes the interface of the SYN.
func (r Router) Arrival(c net.Conn) (policy.Arrival, Way, error) {
	conn, ok := c.(*net.TCPConn)
	if !ok || !nat.Intercepted(conn) {
		return policy.Arrival{}, Way{}, errors.New("the listener was dialled directly, not through a rule")
	}
	index, err := nat.Ingress(conn)
	if err != nil {
		return policy.Arrival{}, Way{}, err
	}
	var way Way
	if r.Steered() {
		if way.Mark, err = nat.MarkOf(conn); err != nil {
			return policy.Arrival{}, Way{}, err
		}
		way.Mark &^= r.Mask
	}
	via, err := r.Routes.InterfaceName(index)
	if err != nil {
		return policy.Arrival{}, Way{}, err
	}
	way.Via = via
	a := policy.Arrival{Client: addrPort(c.RemoteAddr()), Dialled: addrPort(c.LocalAddr()), FromLAN: slices.Contains(r.LAN, via)}
	if !a.FromLAN && !slices.Contains(r.WAN, via) {
		return policy.Arrival{}, Way{}, fmt.Errorf("interface %s is neither on the LAN nor on the WAN side", via)
	}
	var onward string
	if a.Local, onward, err = r.Routes.Delivery(a.Dialled.Addr()); err != nil {
		return a, way, err
	}
	// An unreachable address is nobody's: the dial will say what is wrong with it.
	a.ToWAN = a.FromLAN && !a.Local && (onward == "" || slices.Contains(r.WAN, onward))
	return a, way, nil
}

// Egress asks the routing table.
func (r Router) Egress(to, from netip.Addr, mark uint32) (name string, wan bool, err error) {
	name, err = r.Routes.Egress(to, from, mark)
	return name, slices.Contains(r.WAN, name), err
}

// Steer asks the routing table, on a host that has ip rules of its own.
func (r Router) Steer(from, to netip.Addr, in, out string) (mark uint32, err error) {
	if !r.Steered() {
		return 0, nil
	}
	return r.Routes.MarkToward(to, from, in, out, r.Mask)
}

// Dial connects to a server, by the way that the client's own packets would take where the host sends clients by
// different ones: its data connection takes it as well.
func (r Router) Dial(ctx context.Context, server, as netip.AddrPort, client netip.Addr, way Way) (net.Conn, error) {
	dialer := nat.Dialer{Taken: r.Flows.Known, Mark: r.Mark, Steer: way.Mark}
	if !as.IsValid() && r.Steered() && client.Is4() == server.Addr().Is4() {
		// Without an answer the host's own way is as good as any.
		dialer.Source, _ = r.Routes.SourceToward(server.Addr(), client, way.Via, way.Mark)
	}
	conn, err := dialer.Dial(ctx, server, as)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// Expect is a Server's Expect by way of conntrack.
func Expect(flows *nat.Flows) func(netip.Addr, netip.AddrPort) Flow {
	return func(source netip.Addr, destination netip.AddrPort) Flow {
		return kernelFlow{flows.Expect(source, destination)}
	}
}

type kernelFlow struct{ *nat.Flow }

// Payload is what both directions carried. One of them is the file, the other
// one is empty in every transfer that RFC 959 knows. After an error it is the
// last number that is known.
func (f kernelFlow) Payload() (bytes uint64, known bool) {
	c, _ := f.Counters()
	return c.Original.Payload + c.Reply.Payload, c.Original.Packets > 0
}

// Unanswered looks at what has gone back: a SYN, ACK or a reset would be the
// first. How often the SYN was sent is not known: conntrack does not count those
// that repeat it.
func (f kernelFlow) Unanswered() (since time.Time) {
	c, err := f.Counters()
	if err != nil || c.Original.Packets == 0 || c.Reply.Packets > 0 {
		return time.Time{}
	}
	return c.Began
}
