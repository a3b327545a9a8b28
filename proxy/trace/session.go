package trace

import (
	"fmt"
	"time"
)

const (
	// maxPending bounds the commands of a session that wait for a reply, and the lines that wait to be seen on the other side.
	maxPending = 64
	// maxNegotiations bounds what a session has agreed upon and not used.
	maxNegotiations = 16
)

// session is one client's dialogue: its own control connection, and the one that the server sees, if that is another.
type session struct {
	f       *Follower
	number  int
	hidden  bool // of a client that nobody asked for
	near    *leg // the client's side
	far     *leg // the server's side; nil: not seen, or the same
	proxied bool // far is a connection of its own, which a gateway made

	commands     passage     // of the client, not seen at the server yet
	replies      passage     // of the server, not seen at the client yet
	early        []utterance // replies that the client got before it was known who the server is
	pending      []exchange
	refused      time.Time      // when the latest refusal of PORT or EPRT came; zero: none
	negotiations []*negotiation // the latest last
	tls          bool
	over         bool
}

// exchange is a command that waits for its final reply.
type exchange struct {
	command
	began bool // a preliminary reply has come
}

// say tells a line of this session, and writes it on the packet.
func (s *session) say(format string, args ...any) { s.f.line(s, false, format, args...) }

// add tells what belongs to the line before.
func (s *session) add(format string, args ...any) { s.f.line(s, true, format, args...) }

// heardCommand is a line of the client on one of the two sides.
func (s *session) heardCommand(l *leg, c command) {
	if l == s.far {
		s.commandArrived(c)
		return
	}
	s.say("client: %s", c)
	if len(s.pending) < maxPending {
		s.pending = append(s.pending, exchange{command: c})
	}
	s.commands.said(utterance{text: c.line, kind: kindOfCommand(c.verb), time: s.f.now, command: c})
	if end, ok := announced(c); ok {
		n := s.negotiate(c.verb, true)
		n.heard(s.near, end)
	}
}

// commandArrived is a line that the server got.
func (s *session) commandArrived(c command) {
	was, exact, found := s.commands.heard(c.line, kindOfCommand(c.verb))
	end, address := announced(c)
	switch {
	case exact && address:
		s.add("the server got the same")
	case exact:
	case found:
		s.add("the server got: %s%s", c, difference(was.command, c))
	default:
		s.add("the server got: %s, of which the client said nothing", c)
	}
	if address && !s.outdated() {
		n := s.last(true)
		if n == nil || n.far.IsValid() {
			n = s.negotiate(c.verb, true)
		}
		n.heard(s.far, end)
	}
}

// heardReply is a reply on one of the two sides.
func (s *session) heardReply(l *leg, r reply) {
	switch {
	case l == s.far:
		s.say("server: %s", r)
		s.replies.said(utterance{text: r.text, kind: kindOfReply(r.code), time: s.f.now, reply: r})
		s.passive(l, r)
	case s.far == nil:
		s.say("server: %s", r)
		if len(s.early) < maxPending {
			s.early = append(s.early, utterance{time: s.f.now, reply: r})
		}
		s.passive(l, r)
		s.answered(r)
	default:
		s.replyArrived(r)
		s.passive(l, r)
		s.answered(r)
	}
	if r.code == 234 {
		s.turnsToTLS(l)
	}
}

// replyArrived is a reply that the client got.
func (s *session) replyArrived(r reply) {
	was, exact, found := s.replies.heard(r.text, kindOfReply(r.code))
	switch {
	case exact && kindOfReply(r.code) == kindPassive:
		s.add("the client got the same")
	case exact:
	case found:
		s.add("the client got: %s%s", r, passiveDifference(was.reply, s.far, r, s.near))
	case s.proxied:
		s.say("gateway: %s", r)
		if len(s.pending) > 0 && s.commands.has(s.pending[0].line) {
			s.add("the server did not get the command")
			s.commands.heard(s.pending[0].line, kindOfCommand(s.pending[0].verb))
		}
	default:
		s.say("server: %s", r)
	}
}

// passive reads where the server, or who speaks for it, waits for a data connection.
func (s *session) passive(l *leg, r reply) {
	end, ok := passiveEnd(r, l)
	if !ok {
		return
	}
	n := s.last(false)
	switch late := s.outdated(); {
	case late && (n == nil || l != s.far || !n.near.IsValid()):
		return
	case late:
	case n == nil || l == s.far || s.far == nil || n.near.IsValid():
		verb := "PASV"
		if r.code == 229 {
			verb = "EPSV"
		}
		n = s.negotiate(verb, false)
	}
	n.heard(l, end)
}

// outdated says that what is told now was held so long that the client has meanwhile agreed upon something else, or got the
// reply to it.
func (s *session) outdated() bool {
	n := s.current()
	return s.f.now.Before(s.refused) || n != nil && s.f.now.Before(n.since)
}

// answered does what follows from a reply that the client got.
func (s *session) answered(r reply) {
	if len(s.pending) == 0 {
		return // the greeting, or a 421 that nobody asked for
	}
	if r.code/100 == 1 {
		s.pending[0].began = true
		return
	}
	e := s.pending[0]
	s.pending = s.pending[1:]
	switch kindOfCommand(e.verb) {
	case kindActive:
		if n := s.last(true); r.code >= 400 && n != nil && n.data == nil {
			n.drop()
			s.refused = s.f.now
		}
	case kindTransfer:
		s.transferred(e, r)
	}
}

// transferred is the end of a transfer, as the server or the gateway has it.
func (s *session) transferred(e exchange, r reply) {
	if !s.hidden {
		s.f.sum.Transfers++
	}
	if r.code < 400 {
		return
	}
	why := ""
	if n := s.current(); n != nil && !s.tls {
		why = n.why()
		n.told = true
	}
	if why != "" {
		s.add("why: %s", why)
		why = ": " + why
	}
	s.fail("%s: %s%s", e.command, r, why)
}

// fail counts what did not work.
func (s *session) fail(format string, args ...any) {
	if !s.hidden {
		s.f.sum.fail(s.number, fmt.Sprintf(format, args...))
	}
}

// turnsToTLS is the last that is read on a leg.
func (s *session) turnsToTLS(l *leg) {
	l.up.opaque, l.down.opaque = true, true
	if !s.tls {
		s.tls = true
		s.add("turned to TLS: nothing more can be read")
		if !s.hidden {
			s.f.sum.TLS++
		}
	}
}

// negotiate begins a negotiation.
func (s *session) negotiate(verb string, active bool) *negotiation {
	if n := s.current(); n != nil {
		n.superseded()
	}
	if len(s.negotiations) == maxNegotiations {
		s.negotiations[0].drop()
	}
	n := &negotiation{session: s, verb: verb, active: active, since: s.f.now}
	s.negotiations = append(s.negotiations, n)
	return n
}

// current is the latest negotiation, nil if there is none.
func (s *session) current() *negotiation {
	if len(s.negotiations) == 0 {
		return nil
	}
	return s.negotiations[len(s.negotiations)-1]
}

// last is the latest negotiation if it is of that kind, else nil.
func (s *session) last(active bool) *negotiation {
	if n := s.current(); n != nil && n.active == active {
		return n
	}
	return nil
}

// end ends the session: what was begun and did not come about is told. closed says that the client's connection has ended,
// not only the trace.
func (s *session) end(closed bool) {
	if s.over {
		return
	}
	s.over = true
	for len(s.negotiations) > 0 {
		n := s.negotiations[0]
		if why := n.why(); why != "" && !n.told && !s.tls {
			if d := n.data; d == nil || !d.told && !d.refused() {
				s.add("%s: %s", n.verb, why)
			}
			s.fail("%s: %s", n.verb, why)
		}
		n.drop()
	}
	for _, e := range s.pending {
		if kindOfCommand(e.verb) != kindTransfer || s.tls {
			continue
		}
		if closed {
			s.fail("%s: it had no final reply", e.command)
		} else {
			s.add("%s: it had no final reply yet", e.command)
		}
	}
	s.pending = nil
}
