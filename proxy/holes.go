package proxy

import (
	"slices"
	"sort"
	"time"

	"github.com/ftpgate/ftpgate/firewall"
)

// mostAsked bounds the pinholes of which the host is asked for one look: those
// that end first, and so have waited longest. Nobody opens one meanwhile.
const mostAsked = 256

// Pinhole is a pinhole at one moment.
type Pinhole struct {
	firewall.Standing
	Waited    time.Duration // for its connection, until now; 0: it has come
	Diagnosis               // what is known so far of a connection that keeps being waited for
}

// awaited is a pinhole that has been waited for long enough to ask why.
type awaited struct {
	*Pinhole
	ch *channel
	facts
}

// Holes returns the pinholes in place, those that wait first, in the order in
// which they expire. What is known of those that have waited for a while is
// asked for now; it may take eventTime.
func (g *Server) Holes() []Pinhole {
	standing := g.Pinholes.Holes()
	all := make([]Pinhole, len(standing))
	var late []awaited
	for i, h := range standing {
		all[i].Standing = h
		if h.Used {
			continue
		}
		s, ch, f := g.waiting(h.Hole)
		if ch == nil { // it has ended just now
			continue
		}
		all[i].Waited = f.waited
		if f.waited >= unusedTime && len(late) < mostAsked {
			f.helper = s.helper()
			late = append(late, awaited{&all[i], ch, f})
		}
	}
	g.lookAt(late)
	return all
}

// waiting finds who waits for the connection of a pinhole, with what the dialogue
// says of it; nil: nobody any more.
func (g *Server) waiting(h firewall.Hole) (s *session, ch *channel, f facts) {
	g.mu.Lock()
	s = g.sessions[h.Session]
	g.mu.Unlock()
	if s == nil {
		return nil, nil, facts{}
	}
	s.locked(func() {
		held := []*channel{s.channel, s.block, s.fading}
		for _, x := range s.queue.waiting {
			held = append(held, x.data)
		}
		at := slices.IndexFunc(held, func(c *channel) bool { return c != nil && c.lease.Hole().ID == h.ID })
		if at >= 0 {
			ch = held[at]
			f = s.factsOf(ch)
		}
	})
	return s, ch, f
}

// lookAt asks the host what has come to pinholes, and explains it. Of those whose
// packets may be of a connection that has come a moment ago, it says nothing
// before conntrack's event had its time.
func (g *Server) lookAt(late []awaited) {
	if len(late) == 0 || g.Witness == nil {
		return
	}
	holes, oldest := make([]firewall.Hole, len(late)), late[0].opened
	for i, a := range late {
		holes[i] = a.hole
		if a.opened.Before(oldest) {
			oldest = a.opened
		}
	}
	seen, refused := g.Witness.Seen(holes...), g.Witness.Refused(oldest)
	var hope <-chan time.Time
	for i := range late {
		a := &late[i]
		a.seen, a.counted = seen[a.hole.ID]
		a.refused = refused[sort.Search(len(refused), func(i int) bool { return !refused[i].At.Before(a.opened) }):]
		if a.seen > 0 {
			a.blocked = g.Witness.Unforwarded(a.hole)
			if hope == nil {
				hope = time.After(eventTime)
			}
		}
	}
	over := hope == nil
	for _, a := range late {
		if a.seen > 0 && !over {
			select {
			case <-a.ch.flow.Began():
			case <-hope:
				over = true
			}
		}
		if a.ch.used() {
			a.Used, a.Waited = true, 0
			continue
		}
		a.Diagnosis = a.soFar()
	}
}
