package trace

import (
	"fmt"
	"slices"
	"time"
)

// control takes a segment of a control connection.
func (f *Follower) control(s *Segment) {
	l, up := f.legOf(s)
	if l == nil {
		return
	}
	f.keeps(l.session, Control)
	l.last = s.Time
	me, other := &l.down, &l.up
	if up {
		me, other = other, me
	}
	switch {
	case s.opening():
		if !l.syn(s) {
			l.tell(f, "SYN again", func() { l.session.add("SYN again to %s%s", l.server, onInterface(l.on)) })
			return
		}
		me.segment(s)
		f.opened(l)
		return
	case s.SYN && l.answered.IsZero():
		l.answered = s.Time
		me.segment(s)
		wait := s.Time.Sub(l.latest)
		l.tell(f, "answered", func() { f.answered(l, wait) })
		return
	case s.SYN: // again
		return
	case s.RST:
		f.reset(l, s)
		return
	}
	me.segment(s)
	if s.ACK {
		other.confirm(s.Ack, other)
	}
	if s.Size > 0 {
		l.lastSeg[side(up)] = signature{s.Seq, s.Ack, s.Size, s.Time}
	}
	f.hear(l)
	if s.FIN && !me.ended {
		me.ended = true
		f.finished(l, up, other.ended)
	}
}

func side(up bool) int {
	if up {
		return 0
	}
	return 1
}

// legOf finds the connection of a segment, or begins to follow it. Without its SYN it is followed from the first bytes on.
func (f *Follower) legOf(s *Segment) (l *leg, up bool) {
	forth := tuple{s.Interface, s.Source, s.Destination}
	back := tuple{s.Interface, s.Destination, s.Source}
	if l := f.legs[back]; l != nil && !s.opening() {
		return l, false
	}
	up = slices.Contains(f.o.Ports, s.Destination.Port())
	t := forth
	if !up || s.SYN && s.ACK {
		t, up = back, false
	}
	l = f.legs[t]
	again := l != nil && (!s.opening() || l.seen && l.isn == s.Seq)
	switch {
	case again:
		return l, up
	case !s.opening() && (s.Size == 0 || s.RST):
		return nil, up
	}
	if l != nil {
		f.drop(t, l)
	}
	if len(f.legs) >= maxLegs && !f.makeRoom() {
		f.sum.NotFollowed++
		return nil, up
	}
	l = &leg{tuple: t, last: s.Time}
	l.up.client = true
	f.legs[t] = l
	if !s.opening() {
		l.lastSeg[side(up)] = signature{s.Seq, s.Ack, s.Size, s.Time}
		f.place(l)
		l.tell(f, "joined", func() { f.introduce(l, "; it was there already, what came before is not known") })
	}
	return l, up
}

// makeRoom forgets the connection that has been silent longest, if that is long.
func (f *Follower) makeRoom() bool {
	var oldest *leg
	for _, l := range f.legs {
		if oldest == nil || l.last.Before(oldest.last) {
			oldest = l
		}
	}
	if oldest == nil || oldest.ended.IsZero() && f.clock.Sub(oldest.last) < time.Minute {
		return false
	}
	f.drop(oldest.tuple, oldest)
	return true
}

// opened is the first SYN of a connection.
func (f *Follower) opened(l *leg) {
	f.fresh = append(f.fresh, l)
	f.place(l)
	l.tell(f, "SYN of a control connection", func() { f.introduce(l, "") })
}

// introduce tells of a control connection.
func (f *Follower) introduce(l *leg, remark string) {
	s := l.session
	switch {
	case l == s.near:
		s.say("client %s%s", l.tuple, remark)
	case s.proxied && l.doubt > 0:
		s.add("the gateway connects %s%s; most likely: it may be of %s that said the same", l.tuple, remark, some(l.doubt, "other session"))
	case s.proxied:
		s.add("the gateway connects %s%s", l.tuple, remark)
	default:
		s.add("it goes on as %s%s", l.tuple, remark)
	}
}

// answered is a SYN with ACK.
func (f *Follower) answered(l *leg, wait time.Duration) {
	if l == l.session.near || l.session.proxied {
		l.session.add("%s answered after %s", l.server, span(wait))
	}
}

// reset is an RST.
func (f *Follower) reset(l *leg, s *Segment) {
	if !l.ended.IsZero() || l.refused != "" {
		return
	}
	l.ended = s.Time
	if l.waiting() {
		f.refuse(l, fmt.Sprintf("refused (RST by %s)", s.Source))
		return
	}
	text := "connection reset by " + s.Source.String()
	l.tell(f, text, func() { l.session.add("%s%s", text, onInterface(l.on)); f.over(l) })
}

// refuse is a connection that was not to be.
func (f *Follower) refuse(l *leg, how string) {
	l.refused = how
	l.ended = f.now
	l.tell(f, how, func() {
		l.session.add("%s was %s", l.tuple, how)
		l.session.fail("%s was %s", l.tuple, how)
		f.over(l)
	})
}

// finished is the first FIN of one side.
func (f *Follower) finished(l *leg, up, both bool) {
	if both {
		l.ended = f.now
		f.rest(l)
		l.tell(f, "", func() { f.over(l) })
		return
	}
	who := "server"
	if up {
		who = "client"
	}
	l.tell(f, "closed", func() {
		switch s := l.session; {
		case l == s.near && s.proxied && !up:
			s.say("gateway closes the connection")
		case l == s.near:
			s.say("%s closes the connection", who)
		case s.proxied && !up:
			s.add("the server closes its connection")
		}
	})
}

// over ends a session with the client's connection.
func (f *Follower) over(l *leg) {
	if s := l.session; l == s.near {
		s.end(true)
	}
}

// hear reads what both sides have said by now.
func (f *Follower) hear(l *leg) {
	f.hearLost(l, &l.up, "client")
	for _, line := range l.up.lines.take() {
		c := readCommand(line)
		if l.session == nil && !l.shadow {
			f.gotCommand(l, c)
		}
		l.tell(f, "client: "+c.String(), func() { l.session.heardCommand(l, c) })
	}
	f.hearLost(l, &l.down, "server")
	for _, line := range l.down.lines.take() {
		r, done := l.reply.add(line)
		if !done {
			continue
		}
		if l.greeted.IsZero() {
			l.greeted = f.now
		}
		if l.session == nil && !l.shadow {
			f.gaveReply(l, r)
		}
		f.gotReply(l, r)
		if r.code == 234 {
			l.up.opaque, l.down.opaque = true, true
		}
		l.tell(f, "server: "+r.String(), func() { l.session.heardReply(l, r) })
	}
	if l.up.opaque || l.down.opaque {
		l.up.opaque, l.down.opaque = true, true
		l.tell(f, "", func() { l.session.turnsToTLS(l) })
	}
}

// rest reads what was waiting for something that will not come any more.
func (f *Follower) rest(l *leg) {
	l.up.giveUp(&l.up, true)
	l.down.giveUp(&l.down, true)
	f.hear(l)
}

func (f *Follower) hearLost(l *leg, h *half, who string) {
	n := h.takeLost()
	if n == 0 {
		return
	}
	f.sum.Lost += n
	l.tell(f, "bytes lost", func() {
		l.session.add("lost %d bytes of the %s%s: they were not captured", n, who, onInterface(l.on))
	})
}
