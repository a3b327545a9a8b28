package trace

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	// maxLegs bounds the control connections that are followed at a time, counted on each interface.
	maxLegs = 4096
	// maxData bounds the data connections, counted likewise.
	maxData = 8192
	// silence is how long a SYN may go unanswered before that is told: it has then been sent three times.
	silence = 3 * time.Second
	// linger is how long a connection that has ended is remembered, for what comes late.
	linger = 10 * time.Second
	// idle is how long a silent connection is remembered.
	idle = 24 * time.Hour
	// sweepEvery is the time between two looks at what has waited too long.
	sweepEvery = 250 * time.Millisecond
)

// Options say what to follow.
type Options struct {
	Ports  []uint16                      // of control connections
	Client func(client netip.Addr) bool  // whose sessions are told; nil: everybody's
	Own    func(address netip.Addr) bool // whether an address is this host's; nil: it is not known
	Tell   func(Line)                    // takes the story
}

// Keep says what a packet is to the story.
type Keep int

// What a packet is.
const (
	Nothing Keep = iota // none of what is followed
	Control             // of a control connection
	Data                // of a data connection
)

// Follower follows FTP in the segments that it is given, and tells the story. It is for one goroutine.
type Follower struct {
	o     Options
	clock time.Time // the latest that was seen
	now   time.Time // of what is being told
	swept time.Time

	legs      map[tuple]*leg
	fresh     []*leg // those whose SYN came lately, in order
	undecided []*leg // whose they are is not known yet
	sessions  []*session
	ends      map[netip.AddrPort]*negotiation
	flows     map[tuple]*flow
	dials     []*data // connections that nobody has answered

	sum   Summary
	notes []string // on the packet that is being looked at
	past  bool     // what is told now belongs to earlier packets
	keep  Keep
}

// NewFollower returns a follower.
func NewFollower(o Options) *Follower {
	return &Follower{
		o: o, legs: make(map[tuple]*leg), ends: make(map[netip.AddrPort]*negotiation), flows: make(map[tuple]*flow),
	}
}

// Host says which addresses are this host's; none: it is not known. It comes before the first segment.
func (f *Follower) Host(own []netip.Addr) {
	if len(own) > 0 {
		f.o.Own = func(a netip.Addr) bool { return slices.Contains(own, a) }
	}
}

// Take takes the next segment. Secrets in its payload are overwritten. It returns what the packet is, and what is
// remarkable about it, "" for nothing.
func (f *Follower) Take(s *Segment) (Keep, string) {
	f.Advance(s.Time)
	f.now = s.Time
	f.notes, f.keep = f.notes[:0], Nothing
	switch {
	case s.Rejected != "":
		f.rejected(s)
	case slices.Contains(f.o.Ports, s.Source.Port()) || slices.Contains(f.o.Ports, s.Destination.Port()):
		f.control(s)
	default:
		f.carry(s)
	}
	if s.masked {
		s.seal()
	}
	return f.keep, strings.Join(f.notes, "\n")
}

// Advance says how late it is: what has waited too long is told.
func (f *Follower) Advance(now time.Time) {
	if now.After(f.clock) {
		f.clock = now
	}
	if f.clock.Sub(f.swept) < sweepEvery {
		return
	}
	f.swept = f.clock
	f.then(f.clock, f.sweep)
}

// Close ends the story with what has not come about.
func (f *Follower) Close() Summary {
	f.then(f.clock, func() {
		for _, l := range slices.Clone(f.undecided) {
			f.decide(l)
		}
		for _, s := range f.sessions {
			s.end(false)
		}
	})
	return f.sum
}

// then tells something that does not belong to the packet that is being looked at, or not only.
func (f *Follower) then(at time.Time, what func()) {
	now, past, keep := f.now, f.past, f.keep
	f.now, f.past = at, true
	what()
	f.now, f.past, f.keep = now, past, keep
}

// note writes something on the packet.
func (f *Follower) note(text string) {
	if !f.past && text != "" {
		f.notes = append(f.notes, text)
	}
}

// line tells a line of the story.
func (f *Follower) line(s *session, detail bool, format string, args ...any) {
	if s.hidden {
		return
	}
	text := fmt.Sprintf(format, args...)
	if !f.past {
		f.notes = append(f.notes, fmt.Sprintf("session %d: %s", s.number, text))
	}
	f.o.Tell(Line{Time: f.now, Session: s.number, Detail: detail, Text: text})
}

// keeps says that the packet belongs to a session.
func (f *Follower) keeps(s *session, k Keep) {
	if s == nil || !s.hidden {
		f.keep = k
	}
}

// sweep looks at what has waited too long.
func (f *Follower) sweep() {
	f.fresh = slices.DeleteFunc(f.fresh, func(l *leg) bool { return f.clock.Sub(l.first) > dialTime })
	for _, l := range slices.Clone(f.undecided) {
		if f.overdue(l) {
			f.decide(l)
		}
	}
	for _, s := range f.sessions {
		for _, l := range []*leg{s.near, s.far} {
			if l != nil && l.waiting() && !l.told && f.clock.Sub(l.first) >= silence {
				l.told = true
				s.add("%s does not answer for %s, SYN sent %s", l.server, span(f.clock.Sub(l.first)), times(l.syns))
				s.fail("%s did not answer", l.tuple)
			}
		}
	}
	f.dials = slices.DeleteFunc(f.dials, func(d *data) bool {
		if d.established() || d.refused() || d.told {
			return true
		}
		if f.clock.Sub(d.first().handshake.first) >= silence {
			d.told = true
			d.session.add("data: %s", d.why(f.clock))
		}
		return d.told
	})
	f.forget()
}

// forget drops what has ended.
func (f *Follower) forget() {
	for t, l := range f.legs {
		if !l.ended.IsZero() && f.clock.Sub(l.ended) > linger || f.clock.Sub(l.last) > idle {
			f.drop(t, l)
		}
	}
	for t, w := range f.flows {
		if !w.closed.IsZero() && f.clock.Sub(w.closed) > linger || f.clock.Sub(w.last) > idle {
			delete(f.flows, t)
		}
	}
	f.sessions = slices.DeleteFunc(f.sessions, func(s *session) bool { return s.over && f.legs[s.near.tuple] != s.near })
}

// drop forgets a control connection.
func (f *Follower) drop(t tuple, l *leg) {
	delete(f.legs, t)
	f.undecided = slices.DeleteFunc(f.undecided, func(o *leg) bool { return o == l })
	if l.session != nil && l == l.session.near {
		l.session.end(true)
	}
}
