package trace

import (
	"slices"
	"time"
)

const (
	// dialTime is how long a gateway may take from the client's connection to its own to the server, and longer than it
	// waits there (timeouts.connect) by default.
	dialTime = 20 * time.Second
	// copyTime is how long a packet may take through this host.
	copyTime = 2 * time.Second
	// passTime is how long a gateway may take to pass a line on.
	passTime = time.Second
	// doubtTime is how long a connection waits for the proof that it is of one session and not of others that say the same.
	doubtTime = 10 * time.Second
)

// place finds out whose a new control connection is. It is one of three things: the same connection as another, forwarded
// and perhaps translated; a gateway's own connection to the server, for a client that waits; or a client's.
func (f *Follower) place(l *leg) {
	if m := f.copyOf(l); m != nil {
		f.join(m, l)
		return
	}
	some := f.candidates(l)
	switch {
	case len(some) == 0:
		f.begin(l)
	case len(some) == 1 && f.o.Own != nil && l.seen: // it begins here, and nobody else may have made it
		f.pair(some[0], l)
	default:
		f.undecided = append(f.undecided, l)
	}
}

// copyOf finds the connection that l is, seen somewhere else. Whoever translates addresses leaves the first sequence number
// of a connection alone; the kernel's FTP helper changes later ones.
func (f *Follower) copyOf(l *leg) *leg {
	if l.seen {
		for _, m := range slices.Backward(f.fresh) {
			if m != l && m.isn == l.isn && m.tuple != l.tuple && l.first.Sub(m.first).Abs() <= copyTime {
				return m
			}
		}
		return nil
	}
	for _, m := range f.legs {
		if m == l || m.shadow || l.last.Sub(m.last).Abs() > copyTime {
			continue
		}
		if m.client == l.client && m.server == l.server {
			return m
		}
		for i, a := range l.lastSeg {
			if b := m.lastSeg[i]; a.size > 0 && a.size == b.size && a.seq == b.seq && a.ack == b.ack {
				return m
			}
		}
	}
	return nil
}

// join takes l for another sight of m. Only the last one before the server tells something new.
func (f *Follower) join(m, l *leg) {
	s := m.session
	if s == nil || m.shadow || s.proxied || m != s.near && m != s.far {
		l.shadow, l.session = true, s
		return
	}
	if s.far != nil {
		s.far.shadow = true
	}
	s.far = l
	l.belongs(s)
}

// begin begins a session.
func (f *Follower) begin(l *leg) {
	s := &session{f: f, near: l, hidden: f.o.Client != nil && !f.o.Client(l.client.Addr())}
	if !s.hidden {
		f.sum.Sessions++
	}
	f.sum.numbers++
	s.number = f.sum.numbers
	f.sessions = append(f.sessions, s)
	l.belongs(s)
	f.keeps(s, Nothing)
	if !s.hidden {
		f.keep = Control
	}
}

// pair takes l for the gateway's connection to the server.
func (f *Follower) pair(s *session, l *leg) {
	f.undecided = slices.DeleteFunc(f.undecided, func(o *leg) bool { return o == l })
	if s.far != nil {
		s.far.shadow = true
	}
	s.far, s.proxied = l, true
	l.replies, l.suspects = nil, nil
	l.belongs(s)
	early := s.early
	s.early = nil
	for _, u := range early {
		f.then(u.time, func() { s.replyArrived(u.reply) })
	}
}

// candidates are the sessions whose server's side l may be.
func (f *Follower) candidates(l *leg) []*session {
	var some, dialled []*session
	for _, s := range f.sessions {
		if !f.mayServe(l, s) {
			continue
		}
		some = append(some, s)
		if s.near.server == l.server {
			dialled = append(dialled, s)
		}
	}
	if len(dialled) > 0 {
		return dialled
	}
	return some
}

// mayServe says whether l may be the gateway's connection for the client of s.
func (f *Follower) mayServe(l *leg, s *session) bool {
	n := s.near
	if s.over || s.proxied || n.on == l.on && n.client == l.client || s.far != nil && s.far.client != n.client {
		return false
	}
	switch {
	case n.seen != l.seen:
		return false
	case l.seen && (l.first.Before(n.first) || l.first.Sub(n.first) > dialTime):
		return false
	case l.seen && !n.greeted.IsZero() && n.greeted.Before(l.first):
		return false // the client's was answered by somebody before
	}
	same := n.client.Addr() == l.client.Addr()
	if f.o.Own != nil {
		return f.o.Own(l.client.Addr()) || same && n.on != l.on
	}
	return n.on != l.on || n.on == "" && !same
}
