package proxy

import (
	"fmt"
	"time"

	"github.com/ftpgate/ftpgate/proxy/ftp"
)

// graceAfterData is how long a server may take from the end of the data
// connection to the 226 of the transfer (checksums, virus scanners).
const graceAfterData = 300 * time.Second

// silence is how long a leg that is being read may be silent before it is left
// to wait in a goroutine of its own: long for a dialogue, short for a burst of
// logins.
const silence = 100 * time.Millisecond

// arm sets the time at which the wait for a leg ends if nothing comes. That of
// the server has none: what it owes is told by the client's.
func (s *session) arm(leg *ftp.Conn) {
	if leg == s.server {
		s.serverAwake = time.Time{}
		leg.SetIdle(time.Time{})
		return
	}
	s.clientAwake = time.Time{}
	s.mu.Lock()
	defer s.mu.Unlock()
	leg.SetIdle(s.deadline())
}

// awake sets the time at which a leg that is being read is silent. It leaves it
// where it is for half of that time, since it is called for each line.
func (s *session) awake(leg *ftp.Conn) {
	now := time.Now()
	until := &s.serverAwake
	if leg == s.client {
		until = &s.clientAwake
	}
	if until.Sub(now) > silence/2 {
		return
	}
	*until = now.Add(silence)
	deadline := *until
	if leg == s.client {
		s.mu.Lock()
		defer s.mu.Unlock()
		if limit := s.deadline(); limit.Before(deadline) {
			deadline = limit
		}
	}
	leg.SetIdle(deadline)
}

// deadline needs s.mu.
func (s *session) deadline() time.Time {
	if !s.loggedIn {
		return s.loginSince.Add(s.rule.Timeouts.Login)
	}
	if s.queue.transferring() != nil {
		// The data connection is what moves now; look at it more often than
		// the shortest limit, so that a stall is seen in time.
		return time.Now().Add(min(s.rule.Timeouts.Idle, s.rule.Timeouts.DataIdle) / 4)
	}
	return s.lastHeard().Add(s.rule.Timeouts.Idle)
}

func (s *session) lastHeard() time.Time { return s.born.Add(time.Duration(s.heard.Load())) }

// overdue decides what a wait that has come to its end means. It returns nil
// while the session may go on waiting. s.mu is held.
func (s *session) overdue(now time.Time) *ending {
	limits := s.rule.Timeouts
	switch x := s.queue.transferring(); {
	case !s.loggedIn:
		if now.Sub(s.loginSince) >= limits.Login {
			return &ending{say: "421 Login timeout.", why: fmt.Sprintf("no login within %s", limits.Login)}
		}
	case x != nil && x.data != nil && x.data.used():
		return s.stalled(x.data, now)
	case now.Sub(s.lastHeard()) >= limits.Idle:
		return &ending{say: "421 Timeout.", why: fmt.Sprintf("idle for %s", limits.Idle)}
	}
	return nil
}

// stalled looks at the data connection of a running transfer. While it moves,
// the control connection may be silent for hours (RFC 6384 §9.1). One that
// does not move for data_idle is cut: server and client then say so
// themselves, with 426 or 451. One that has ended leaves the server some time
// for its last reply.
func (s *session) stalled(ch *channel, now time.Time) *ending {
	limits := s.rule.Timeouts
	bytes, known := ch.flow.Payload()
	if bytes != ch.bytes || ch.movedAt.IsZero() || !known && !ch.ended() {
		ch.bytes, ch.movedAt = bytes, now
		return nil
	}
	still := now.Sub(later(ch.movedAt, s.lastHeard()))
	switch {
	case ch.cut:
		if still >= limits.DataIdle+limits.Idle {
			return &ending{say: "421 Timeout.", why: "neither side noticed that the stalled data connection was cut"}
		}
	case ch.ended():
		if limit := max(limits.Idle, graceAfterData); still >= limit {
			return &ending{say: "421 Timeout.", why: fmt.Sprintf("no reply within %s of the end of the data connection", limit)}
		}
	case now.Sub(ch.movedAt) >= limits.DataIdle:
		ch.cut = true
		ch.close() // the way in first, or it could come again
		s.logCut(ch, ch.flow.Kill())
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
