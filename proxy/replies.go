package proxy

import (
	"errors"
	"fmt"
	"net"

	"github.com/ftpgate/ftpgate/proxy/ftp"
)

// replies reads the server until it leaves or the session is over, or until it
// is silent.
func (s *session) replies() (silent bool) {
	for {
		err := s.server.ReadReply(&s.reply)
		if isTimeout(err) && !errors.Is(err, ftp.ErrLineTimeout) {
			return true
		}
		if err == nil {
			s.touch()
			err = s.relay(&s.reply)
		}
		if err != nil {
			s.serverGone(err)
			return false
		}
		if s.blind() {
			return false
		}
		s.awake(s.server)
	}
}

// serverGone ends the session with what the client still has to know.
func (s *session) serverGone(err error) {
	var bad *ftp.ReplyError
	switch {
	case errors.Is(err, errEnded), errors.Is(err, net.ErrClosed):
		s.end(ending{why: "closed"})
	case errors.As(err, &bad):
		s.end(ending{say: "421 The server's reply cannot be understood.", why: "bad reply: " + bad.Why})
	case isEOF(err):
		s.mu.Lock()
		defer s.mu.Unlock()
		e := ending{why: "the server closed the connection"}
		switch {
		case s.farewell:
			e.why = "QUIT"
		case s.clientEOF:
			e.why = "the client has gone"
		default:
			e.say = "421 The server closed the connection."
		}
		s.endLocked(e)
	default:
		s.end(ending{say: "421 The server closed the connection.", why: "the server's connection broke: " + err.Error()})
	}
}

// relay passes one reply to the client: finds the command it answers, lets
// that verb act on it, and sends it on. Only then the exchange is over and
// the replies that waited behind it follow.
func (s *session) relay(r *ftp.Reply) error {
	i, x, err := s.pair(r)
	if err != nil || i < 0 {
		return err
	}
	out := r.Bytes()
	if x.verb.answer != nil {
		// Without the lock: opening a pinhole takes its time.
		if out, err = x.verb.answer(s, x, r); err != nil {
			return err
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue.relaying = false
	if s.over != nil {
		return errEnded
	}
	if r.Preliminary() && s.server.Another() {
		s.held = append(s.held, out...)
	} else if s.tellClient(out) != nil {
		return errEnded
	}
	if r.Code == 421 {
		s.queue.waiting[i].account = nil // the verb's answer has closed it
		s.endLocked(ending{why: "the server ended the session: " + quote(r)})
		return errEnded
	}
	s.farewell = s.farewell || x.verb.name == "QUIT" && !r.Preliminary()
	s.advance(i, r)
	return nil
}

// pair finds the exchange that the reply answers, and its place in the queue; it
// is negative for a reply that answers none, which has been dealt with.
func (s *session) pair(r *ftp.Reply) (int, exchange, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skipUnanswered(r)
	i := s.queue.match(r)
	if i < 0 {
		return i, exchange{}, s.unsolicited(r)
	}
	i = s.overtake(i)
	x := s.queue.waiting[i]
	if (r.Code == 227 || r.Code == 228 || r.Code == 229) && x.verb.passive == 0 {
		return -1, exchange{}, s.unsolicited(r)
	}
	s.queue.relaying = true
	return i, x, nil
}

// advance notes what the reply meant for the exchange i of the queue.
func (s *session) advance(i int, r *ftp.Reply) {
	x := &s.queue.waiting[i]
	switch {
	case r.Preliminary():
		x.started = true
		return
	case x.verb.name == "ABOR" && r.Code == 426 && !x.aborted:
		x.aborted = true // 226 follows as a rule (RFC 959 §5.4)
		return
	}
	transfer := x.verb.transfer
	s.queue.abortEcho = x.verb.name == "ABOR"
	s.queue.pop(i)
	if len(s.queue.waiting) > 0 && transfer {
		if next := &s.queue.waiting[0]; next.verb.name == "ABOR" {
			next.aborted = true // it may have been meant with that reply
		}
	}
	s.flush()
	s.turn.Signal()
	if !s.secured {
		s.retireLocked()
	}
}

// flush sends the replies of our own whose turn it is. s.mu is held.
func (s *session) flush() {
	for {
		s.queue.settleAbort()
		if len(s.queue.waiting) == 0 || s.queue.waiting[0].verb != ours {
			return
		}
		if s.tellClient([]byte(s.queue.waiting[0].ours)) != nil {
			return
		}
		s.queue.pop(0)
	}
}

// overtake sends the replies of our own that stand before the exchange i,
// which is answered ahead of a transfer; it returns where i has moved.
func (s *session) overtake(i int) int {
	for j := 0; j < i; {
		if s.queue.waiting[j].verb != ours {
			j++
			continue
		}
		if s.tellClient([]byte(s.queue.waiting[j].ours)) != nil {
			return i
		}
		s.queue.pop(j)
		i--
	}
	return i
}

// skipUnanswered gives up the exchanges that the server has passed over. s.mu
// is held.
func (s *session) skipUnanswered(r *ftp.Reply) {
	for s.queue.unanswered(r) {
		if x := s.queue.waiting[0]; x.data != nil {
			s.closeAccount(x.account, Failed, "", Diagnosis{Cause: CauseLeft, Sentence: "The server went on to the next command without saying how the transfer went."})
			x.data.close()
			s.tally.watch(x.data, x.account)
		}
		s.queue.pop(0)
		s.flush()
	}
}

// tellClient writes to the client, behind what is held for it; s.mu is held, so
// that the replies of both goroutines never mix.
func (s *session) tellClient(b []byte) error {
	if s.held != nil {
		b, s.held = append(s.held, b...), nil
	}
	if len(b) == 0 {
		return nil
	}
	if _, err := s.client.Write(b); err != nil {
		s.endLocked(ending{why: "writing to the client: " + err.Error()})
		return err
	}
	return nil
}

// unsolicited handles a reply that no command waits for. RFC 1123 §4.1.2.11
// knows none; in practice 421 announces the end, and an ABOR may be answered
// twice. Everything else is a fault or an attack, a 227 above all: nothing is
// opened and the session ends. s.mu is held.
func (s *session) unsolicited(r *ftp.Reply) error {
	switch {
	case s.clientEOF: // the server takes leave of a client that went without QUIT
		return s.tellClient(nil)
	case r.Code == 421:
		s.tellClient(r.Bytes())
		s.endLocked(ending{why: "the server ended the session: " + quote(r)})
		return errEnded
	case s.queue.abortEcho && (r.Code == 225 || r.Code == 226):
		s.queue.abortEcho = false
		return s.tellClient(r.Bytes())
	}
	why := fmt.Sprintf("the server sent %s that no command asked for", quote(r))
	s.log.Warn("unsolicited reply", s.fields(why)...)
	s.endLocked(ending{say: "421 The server sent a reply out of turn.", why: why})
	return errEnded
}

// quote is a reply for logs.
func quote(r *ftp.Reply) string { return fmt.Sprintf("\"%d %s\"", r.Code, ftp.Quote(r.Text())) }

// greeted is the server's greeting: 120 may come before the 220.
func (s *session) greeted(_ exchange, r *ftp.Reply) ([]byte, error) {
	if !r.Preliminary() {
		s.locked(func() { s.welcome = true })
	}
	return r.Bytes(), nil
}
