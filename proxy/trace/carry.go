package trace

import (
	"fmt"
	"net/netip"
	"slices"
)

// carry takes a segment of a connection that is no control connection.
func (f *Follower) carry(s *Segment) {
	if f.early(s) {
		return
	}
	forth := tuple{s.Interface, s.Source, s.Destination}
	if s.opening() {
		f.dial(forth, s)
		return
	}
	w, up := f.flows[forth], true
	if w == nil {
		w, up = f.flows[tuple{s.Interface, s.Destination, s.Source}], false
	}
	if w == nil {
		return
	}
	w.last = s.Time
	f.keeps(w.data.session, Data)
	w.data.segment(w, s, up)
}

// dial takes a SYN: it is that of a data connection if somebody has announced its destination.
func (f *Follower) dial(t tuple, s *Segment) {
	if w := f.flows[t]; w != nil && w.isn == s.Seq {
		w.syn(s)
		w.last = s.Time
		f.keeps(w.data.session, Data)
		w.data.opening(w, s, false)
		return
	}
	d := f.dataOf(t, s)
	if d == nil {
		return
	}
	if len(f.flows) >= maxData || len(d.flows) >= maxFlows {
		f.sum.NotFollowed++
		return
	}
	w := &flow{tuple: t, data: d, last: s.Time}
	w.syn(s)
	w.up.saw(s)
	f.flows[t] = w
	d.flows = append(d.flows, w)
	f.keeps(d.session, Data)
	d.opening(w, s, true)
}

// dataOf finds the data connection that a SYN belongs to, or begins one. It returns nil if the SYN is none of FTP.
func (f *Follower) dataOf(t tuple, s *Segment) *data {
	n := f.ends[t.server]
	if n == nil {
		if d := f.sameDial(s); d != nil {
			return d
		}
		n := f.beside(t)
		if n == nil {
			return nil
		}
		return f.newData(&data{session: n})
	}
	// On the second interface it is the same one, whether it is forwarded or made anew by a gateway.
	if d := n.data; d != nil && !d.established() && !d.refused() {
		first := d.first()
		if first.isn == s.Seq || first.server != t.server && first.on != t.on {
			return d
		}
	}
	n.data = f.newData(&data{session: n.session, n: n})
	n.told = false
	return n.data
}

func (f *Follower) newData(d *data) *data {
	if len(f.dials) == maxData {
		f.dials = slices.Delete(f.dials, 0, 1)
	}
	f.dials = append(f.dials, d)
	return d
}

// sameDial finds a data connection that was led to where nobody has announced it.
func (f *Follower) sameDial(s *Segment) *data {
	for _, d := range slices.Backward(f.dials) {
		if first := d.first(); first.isn == s.Seq && s.Time.Sub(first.handshake.first) <= copyTime {
			return d
		}
	}
	return nil
}

// userPorts begin here: what is dialled below is no data connection.
const userPorts = 1024

// beside finds the session of a connection that runs beside a control connection, between the same hosts: behind TLS, where
// the negotiation cannot be read, or while the one that was announced is awaited.
func (f *Follower) beside(t tuple) *session {
	if t.server.Port() < userPorts {
		return nil
	}
	for _, s := range slices.Backward(f.sessions) {
		waits := len(s.negotiations) > 0 && s.current().data == nil
		if s.over || !s.tls && !waits {
			continue
		}
		for _, l := range []*leg{s.near, s.far} {
			if l != nil && l.on == t.on && between(l, t.client.Addr(), t.server.Addr()) {
				return s
			}
		}
	}
	return nil
}

func between(l *leg, a, b netip.Addr) bool {
	return l.client.Addr() == a && l.server.Addr() == b || l.client.Addr() == b && l.server.Addr() == a
}

// rejected takes an ICMP error.
func (f *Follower) rejected(s *Segment) {
	t := tuple{s.Interface, s.Source, s.Destination}
	if w := f.flows[t]; w != nil {
		f.keeps(w.data.session, Data)
		w.data.rejected(w, s)
		return
	}
	if l := f.legs[t]; l != nil && l.waiting() {
		f.keeps(l.session, Control)
		f.refuse(l, fmt.Sprintf("rejected (ICMP %s, by %s)", s.Rejected, s.By))
	}
}
