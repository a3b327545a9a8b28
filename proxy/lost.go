package proxy

import (
	"fmt"
	"net/netip"
	"time"
)

// addressGrace is how long the address of a session may be gone before the session ends: a PPP link that comes again
// with the same address, as some do, has broken nothing.
const addressGrace = 30 * time.Second

// lost returns the address of this host by which one of the session's two connections runs, if the host has it no more:
// a lease that was not renewed, a link that has gone. Nothing can come by it, so nothing may be announced there.
func (s *session) lost() (address netip.Addr, gone bool) {
	if s.gw.Holds == nil {
		return netip.Addr{}, false
	}
	for _, l := range []*leg{&s.clientLeg, &s.serverLeg} {
		if l.ours && !s.gw.Holds(l.local.Addr()) {
			return l.local.Addr(), true
		}
	}
	return netip.Addr{}, false
}

// reachable refuses a negotiation in a session that has lost its address.
func (s *session) reachable() error {
	if address, gone := s.lost(); gone {
		return noDataConnection("this host has no longer the address %s, by which the session runs: the client has to connect again", address)
	}
	return nil
}

// AddressesChanged is to be called when the host has lost an address, or got one. Pinholes of sessions that ran by one
// that is gone end at once, the sessions themselves after a while.
func (g *Server) AddressesChanged() {
	if g.Holds == nil {
		return
	}
	g.mu.Lock()
	sessions := make([]*session, 0, len(g.sessions))
	for _, s := range g.sessions {
		sessions = append(sessions, s)
	}
	g.mu.Unlock()
	now, waits := time.Now(), false
	for _, s := range sessions {
		waits = s.noticeLoss(now) || waits
	}
	if !waits {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closing:
	case g.losses == nil:
		g.losses = time.AfterFunc(addressGrace, g.AddressesChanged)
	default:
		g.losses.Reset(addressGrace)
	}
}

// noticeLoss reports whether the session has lost its address and still hopes to have it again.
func (s *session) noticeLoss(now time.Time) (waits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil || s.over != nil { // its legs are not known yet, or do not matter any more
		return false
	}
	address, gone := s.lost()
	switch {
	case !gone:
		s.lostAt = time.Time{}
		return false
	case s.lostAt.IsZero():
		s.lostAt = now
		s.dropChannel()
	case now.Sub(s.lostAt) >= addressGrace:
		s.endLocked(ending{say: "421 The connection to the server is lost, please connect again.",
			why: fmt.Sprintf("this host has no longer the address %s, by which the session ran", address)})
		return false
	}
	return true
}
