package proxy

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"go.uber.org/zap"
)

// ending is why a session is over.
type ending struct {
	say  string // last line for the client, without line end; "" for none
	why  string // for the log
	stop bool   // the gateway stops: the server is asked to let a running transfer finish (RFC 959 §4.1.1, QUIT)
}

// errEnded stops a loop of a session that is over.
var errEnded = errors.New("session is over")

// end closes the session; the first ending wins. Both loops stop: the server
// is cut off, the client gets its last line and a moment to read it.
func (s *session) end(e ending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(e)
}

func (s *session) endLocked(e ending) {
	if s.over != nil {
		return
	}
	s.over = &e
	if s.client == nil { // still connecting to the server
		s.forget()
		return
	}
	if last := append(s.held, e.say...); len(last) > 0 && !s.secured {
		lastWords(s.client.NetConn(), strings.TrimSuffix(string(last), "\r\n"))
	}
	s.held = nil
	if e.stop && !s.secured {
		lastWords(s.server.NetConn(), "QUIT")
	}
	s.forget()
	s.revoke()
	s.turn.Broadcast()
	s.server.NetConn().Close()
	client := s.client.NetConn()
	halfClose(client)
	time.AfterFunc(lingerTime, func() { client.Close() })
}

// lastWords are said if there is room for them: who does not read must not
// hold up the end.
func lastWords(c net.Conn, line string) {
	c.SetWriteDeadline(time.Now().Add(lingerTime))
	c.Write([]byte(line + "\r\n"))
}

// wires are a session's sockets, for who must not wait for its lock.
type wires struct{ client, server net.Conn }

// sever cuts a session off that does not end by itself: whoever waits in one
// of its sockets returns.
func (s *session) sever() {
	if w := s.wires.Load(); w != nil {
		w.client.Close()
		w.server.Close()
	}
}

// rescue keeps a fault in one session from ending all others.
func (s *session) rescue() {
	if fault := recover(); fault != nil {
		s.log.Error("a session was ended by a fault of the gateway", append(s.sessionField(),
			zap.String("why", fmt.Sprint(fault)), zap.Stack("stack"))...)
		s.sever()
		s.turn.Broadcast() // who waits for a reply need not wait for an alarm
	}
}

// retire ends the session at the next boundary between a reply and a command.
func (s *session) retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retiring = true
	s.retireLocked()
}

func (s *session) retireLocked() {
	if s.retiring && s.client != nil && len(s.queue.waiting) == 0 {
		s.endLocked(ending{say: "421 Service is closing.", why: "the gateway stopped"})
	}
}

// clientGone handles the end of what the client has to say. It may have sent
// QUIT and still read (RFC 959 §4.1.1), so the server learns of it and gets
// the time to answer and to end a running transfer.
func (s *session) clientGone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil {
		return
	}
	s.clientEOF = true
	s.dropChannel()
	halfClose(s.server.NetConn())
	s.watchOrphan(s.carried())
}

// watchOrphan ends a session without client once nothing moves in it.
func (s *session) watchOrphan(before uint64) {
	time.AfterFunc(orphanTime, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.over != nil {
			return
		}
		if now := s.carried(); now != before {
			s.watchOrphan(now)
			return
		}
		s.endLocked(ending{why: "the client has gone"})
	})
}

// drain reads what a peer still sends until it closes or lingerTime has passed,
// so that closing does not become a reset that eats the last reply.
func drain(c net.Conn) {
	c.SetReadDeadline(time.Now().Add(lingerTime))
	buf := make([]byte, 512)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}
