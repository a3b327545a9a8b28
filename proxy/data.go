package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/nat"
	"github.com/ftpgate/ftpgate/proxy/policy"
)

// channel is one negotiated data connection: what was lent and opened for it.
type channel struct {
	announced netip.AddrPort // where the connector is told to connect to
	lease     *firewall.Lease
	port      *nat.Port // nil: the listener's own address was announced
	flow      Flow
	passive   bool // the server listens, the client connects
	verb      string
	opened    time.Time

	// Guarded by session.mu.
	missed  *facts    // it has expired unused; what was known then
	counted bool      // the session's tally has it
	cut     bool      // killed since it did not move
	bytes   uint64    // carried when it was last looked at
	movedAt time.Time // when that number had last changed
}

// open prepares the data connection from the connector's side to the address
// at which the listener listens, in this order: lend a public port, watch for
// the connection, open the pinhole. Only when it returns may the announced
// address be spoken (RFC 959 §3.2 sees no such step; everything after it
// depends on it). What was done is undone in reverse when a step fails; the
// error is then a Refusal (425).
//
// It is the one place where ports, conntrack and firewall meet. Nothing in it
// knows the direction of the session: each end must see the address that its
// own control connection shows.
func (s *session) open(verb string, connector, listener *leg, listening netip.AddrPort, sourcePort uint16) (*channel, error) {
	if err := s.reachable(); err != nil {
		return nil, err
	}
	via, err := s.interfaceOf(connector)
	if err != nil {
		return nil, noDataConnection("finding the interface of %s: %w", connector.peer.Addr(), err)
	}
	hole := firewall.Pinhole{
		Interface:   via,
		Source:      connector.peer.Addr(),
		SourcePort:  sourcePort,
		Destination: listening,
		Session:     s.id,
	}
	if seen := listener.local.Addr(); seen != hole.Source {
		hole.SourceAs = seen
	}
	if listener == &s.clientLeg && listener.wan {
		// The server's packets to a client outside answer nobody, so the host does not know by which of its WANs.
		if hole.Mark, err = s.settings.Network.Steer(hole.Source, listening.Addr(), via, listener.via); err != nil {
			return nil, noDataConnection("finding the way to %s by %s: %w", listening.Addr(), listener.via, err)
		}
	}
	ch := &channel{announced: listening, passive: connector == &s.clientLeg, verb: verb}
	if public := connector.local.Addr(); public != listening.Addr() {
		if ch.port, err = s.settings.Ports.Lend(public, hole.Source); err != nil {
			return nil, noDataConnection("%w", err)
		}
		hole.Target = listening
		hole.Destination = netip.AddrPortFrom(public, ch.port.Number())
		if ch.announced, err = s.advertised(hole.Destination, connector.wan); err != nil {
			ch.returnPort()
			return nil, noDataConnection("resolving the advertised address: %w", err)
		}
	}
	if !ch.passive && s.gw.Clear != nil {
		s.gw.Clear(listening, netip.AddrPortFrom(hole.Source, ftpDataPort))
	}
	ch.flow = s.gw.Expect(hole.Source, hole.Destination)
	if ch.lease, err = s.gw.Pinholes.Open(s.life(), hole); err != nil {
		ch.flow.Forget()
		ch.returnPort()
		return nil, noDataConnection("%w", err)
	}
	ch.opened = time.Now()
	ch.flow.OnBegan(ch.lease.Used)
	ch.lease.OnEnd(func() { // also when it expires, however long the session then idles
		ch.returnPort()
		if !ch.used() && !time.Now().Before(ch.lease.Hole().Expires) {
			go s.expired(ch)
		}
	})
	return ch, nil
}

// returnPort gives the public port back. The pinhole's rules may still be
// there for a moment; should the port be lent again so soon, the Manager
// removes them in the transaction that opens the successor.
func (ch *channel) returnPort() {
	if ch.port != nil {
		ch.port.Return()
	}
}

// usable reports whether the pinhole still waits for its connection or has
// had it, and has not expired unused.
func (ch *channel) usable() bool {
	return !isClosed(ch.lease.Done()) || ch.used()
}

func (ch *channel) mode() Mode {
	if ch.passive {
		return Passive
	}
	return Active
}

// used reports whether the data connection has come.
func (ch *channel) used() bool { return isClosed(ch.flow.Began()) }

func (ch *channel) ended() bool { return isClosed(ch.flow.Ended()) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// close gives the pinhole back. A data connection that runs goes on: conntrack
// carries it without the pinhole.
func (ch *channel) close() {
	if ch.used() {
		ch.lease.Used()
	}
	ch.lease.Release()
}

// interfaceOf names the interface of a leg, asking the routing table once.
func (s *session) interfaceOf(l *leg) (string, error) {
	if l.via != "" {
		return l.via, nil
	}
	var err error
	l.via, l.wan, err = s.settings.Network.Egress(l.peer.Addr(), l.local.Addr(), l.mark)
	if l == &s.serverLeg {
		s.locked(func() { s.serverVia = l.via })
	}
	return l.via, err
}

// advertised replaces the address told to the WAN side when yet another
// translation lies in front of the router.
func (s *session) advertised(real netip.AddrPort, wan bool) (netip.AddrPort, error) {
	if s.settings.Advertise == nil || !wan {
		return real, nil
	}
	ctx, cancel := context.WithTimeout(s.life(), resolveTime)
	defer cancel()
	public, err := s.settings.Advertise(ctx, real.Addr().Is4())
	if err != nil {
		return netip.AddrPort{}, err
	}
	if !public.IsValid() {
		return real, nil // nothing is advertised for this family
	}
	return netip.AddrPortFrom(public, real.Port()), nil
}

// noDataConnection is the refusal of RFC 959 §5.4 for everything that is
// temporary and not the client's fault.
func noDataConnection(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	reason := policy.NoPinhole
	if errors.Is(err, nat.ErrExhausted) {
		reason = policy.Exhausted
	}
	return &policy.Refusal{Reason: reason, Code: 425, Say: "Can't open data connection.", Why: err.Error()}
}
