package trace

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// maxFlows bounds the interfaces on which one data connection is seen.
const maxFlows = 4

// data is one data connection, on each interface where it is seen.
type data struct {
	session *session
	n       *negotiation // nil: nobody announced it
	flows   []*flow      // in the order in which they were seen
	ended   bool
	told    bool // that nobody answers
}

// flow is a data connection on one interface. Its client is who dialled.
type flow struct {
	tuple
	handshake
	data     *data
	up, down counter
	last     time.Time
	closed   time.Time
}

// counter counts the bytes of one direction by their sequence numbers, which also tell of those that were not captured.
type counter struct {
	known bool
	next  uint32
	total int64
	fin   bool
}

// saw takes the end of a segment.
func (c *counter) saw(s *Segment) {
	if s.SYN {
		c.known, c.next = true, s.Seq+1
		return
	}
	end := s.Seq + uint32(s.Size)
	if !c.known {
		c.known, c.next = true, s.Seq
	}
	if n := ahead(end, c.next); n > 0 && !c.fin {
		c.total += int64(n)
		c.next = end
	}
	c.fin = c.fin || s.FIN
}

// first is the flow that was seen first: that of the side which dials.
func (d *data) first() *flow { return d.flows[0] }

// opening is a SYN of a data connection on an interface where it has not been seen, or a further one.
func (d *data) opening(w *flow, s *Segment, fresh bool) {
	switch {
	case !fresh && d.first() == w:
		d.session.add("data: SYN again, the %s in %s", ordinal(w.syns), span(s.Time.Sub(w.handshake.first)))
	case !fresh:
		d.session.f.note("SYN again")
	case len(d.flows) == 1 && d.n == nil:
		d.session.say("data: SYN %s, which nobody has announced here", w.tuple)
	case len(d.flows) == 1:
		d.session.say("data: SYN %s", w.tuple)
	default:
		d.session.add("data: it goes on as %s after %s", w.tuple, span(s.Time.Sub(d.first().handshake.first)))
	}
}

// segment takes what follows a SYN.
func (d *data) segment(w *flow, s *Segment, fromClient bool) {
	c := &w.down
	if fromClient {
		c = &w.up
	}
	c.saw(s)
	switch {
	case s.SYN && s.ACK && w.answered.IsZero():
		w.answered = s.Time
		if w == d.first() {
			d.session.add("data: answered after %s", span(s.Time.Sub(w.latest)))
		} else {
			d.session.f.note("data: answered")
		}
	case s.RST && w.waiting():
		d.refuse(w, fmt.Sprintf("refused (RST by %s%s)", s.Source, onInterface(w.on)), s.Time)
	case s.RST && w.closed.IsZero():
		w.closed = s.Time
		d.end(w, "reset by "+s.Source.String(), s.Time)
	case w.up.fin && w.down.fin && w.closed.IsZero():
		w.closed = s.Time
		d.end(w, "closed", s.Time)
	}
}

// rejected is an ICMP error.
func (d *data) rejected(w *flow, s *Segment) {
	if w.waiting() {
		d.refuse(w, fmt.Sprintf("rejected (ICMP %s, by %s%s)", s.Rejected, s.By, onInterface(s.Interface)), s.Time)
	}
}

// refuse is told once, by the side that saw it first.
func (d *data) refuse(w *flow, how string, at time.Time) {
	w.closed = at
	for _, other := range d.flows {
		if other.refused != "" {
			w.refused = other.refused
			d.session.f.note("data: " + how)
			return
		}
	}
	w.refused = fmt.Sprintf("%s after %s", how, span(at.Sub(w.latest)))
	d.session.add("data: %s", w.refused)
}

// end is told once.
func (d *data) end(w *flow, how string, at time.Time) {
	if d.ended {
		d.session.f.note("data: " + how)
		return
	}
	d.ended = true
	d.session.f.sum.data(w, d.session.hidden)
	d.session.add("data: %s after %s, %s", how, span(at.Sub(w.handshake.first)), d.carried(w))
}

// carried says how much was carried, and which way.
func (d *data) carried(w *flow) string {
	dialler, listener := d.first().client.String(), d.first().server.String()
	if d.n != nil {
		dialler, listener = "the client", "the server"
		if d.n.active {
			dialler, listener = listener, dialler
		}
	}
	switch {
	case w.up.total == 0 && w.down.total == 0:
		return "not a byte was carried"
	case w.down.total == 0:
		return fmt.Sprintf("%d bytes from %s", w.up.total, dialler)
	case w.up.total == 0:
		return fmt.Sprintf("%d bytes from %s", w.down.total, listener)
	}
	return fmt.Sprintf("%d bytes from %s, %d from %s", w.up.total, dialler, w.down.total, listener)
}

// established says whether both sides had the connection.
func (d *data) established() bool { return !d.first().answered.IsZero() }

// refused says whether the connection was refused on any interface.
func (d *data) refused() bool {
	return slices.ContainsFunc(d.flows, func(w *flow) bool { return w.handshake.refused != "" })
}

// why says why the connection did not come about.
func (d *data) why(now time.Time) string {
	a := attempt{watchedBoth: d.session.twoSides(), active: d.n != nil && d.n.active}
	d.describe(&a, now)
	return a.explain()
}

// describe fills in what is known of the connection.
func (d *data) describe(a *attempt, now time.Time) {
	first := d.first()
	a.dialled, a.syns, a.waited = first.tuple, first.syns, now.Sub(first.handshake.first)
	a.established = d.established()
	for i, w := range d.flows {
		if w.refused != "" {
			a.refused = w.refused
		}
		if i > 0 {
			a.onward, a.onwardAnswered = w.tuple, !w.answered.IsZero()
		}
	}
	a.arrived = d.n != nil && d.n.arrived(first)
	if known := d.session.addresses(); len(known) > 0 {
		a.stranger = !known[first.client.Addr()]
	}
}

// addresses are those of both sides of the session.
func (s *session) addresses() map[netip.Addr]bool {
	known := make(map[netip.Addr]bool)
	for _, l := range []*leg{s.near, s.far} {
		if l != nil {
			known[l.client.Addr()], known[l.server.Addr()] = true, true
		}
	}
	return known
}
