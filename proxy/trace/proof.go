package trace

import (
	"slices"
	"time"
)

// A data connection proves whose a control connection is that may be several sessions': it goes where one of the two sides has
// announced, and on, with the same sequence number, to where the other one has.

// dialled is a data connection to where somebody has announced whose session is not known yet.
type dialled struct {
	tuple
	isn  uint32
	when time.Time
}

// early holds a segment of a data connection that was announced on a leg whose session is not known, and says whether it did.
// If the segment tells which session it is, the leg gets it, and nothing is held.
func (f *Follower) early(s *Segment) bool {
	if len(f.undecided) == 0 {
		return false
	}
	t := tuple{s.Interface, s.Source, s.Destination}
	if s.opening() {
		f.prove(t, s)
	}
	l := f.awaiting(t, s.opening())
	if l == nil {
		return false
	}
	if s.opening() && !slices.ContainsFunc(l.dialled, func(d dialled) bool { return d.tuple == t && d.isn == s.Seq }) {
		l.dialled = append(l.dialled, dialled{t, s.Seq, s.Time})
	}
	f.keeps(nil, Data)
	later := *s
	later.Packet = &Packet{Time: s.Time, Interface: s.Interface, Length: s.Length} // without the memory of its bytes
	later.Payload = nil
	l.tell(f, "of a data connection", func() { f.carry(&later) })
	return true
}

// awaiting is the leg whose session a segment waits for.
func (f *Follower) awaiting(t tuple, opening bool) *leg {
	back := tuple{t.on, t.server, t.client}
	for _, l := range f.undecided {
		if opening && slices.Contains(l.announced, t.server) ||
			slices.ContainsFunc(l.dialled, func(d dialled) bool { return d.tuple == t || d.tuple == back }) {
			return l
		}
	}
	return nil
}

// prove pairs a leg with the session that a SYN shows it to be of.
func (f *Follower) prove(t tuple, s *Segment) {
	var of *session // who has announced where it goes, or where it went before
	if n := f.ends[t.server]; n != nil {
		of = n.session
	} else if d := f.sameDial(s); d != nil {
		of = d.session
	}
	if of == nil {
		return
	}
	for _, l := range f.undecided {
		onward := slices.ContainsFunc(l.dialled, func(d dialled) bool {
			return d.isn == s.Seq && d.tuple != t && s.Time.Sub(d.when) <= copyTime
		})
		if (onward || slices.Contains(l.announced, t.server)) && slices.Contains(f.rivals(l), of) {
			f.pair(of, l)
			f.settle()
			return
		}
	}
}
