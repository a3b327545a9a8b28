package proxy

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/ftpgate/ftpgate/proxy/ftp"
	"github.com/ftpgate/ftpgate/proxy/policy"
)

// blindIdle is how long a control connection under TLS may be silent. Nothing
// shows there whether data moves, so it is the time that RFC 5382 REQ-5
// demands of every translator for an established connection.
const blindIdle = 2*time.Hour + 4*time.Minute

// noTLS is the answer to the verbs of RFC 2228 where the rule has no TLS.
func noTLS(v *verb) error {
	why := v.name + " where tls.client is refuse"
	switch v.name {
	case "AUTH":
		return &policy.Refusal{Code: 534, Say: "TLS is not allowed here.", Why: why}
	case "CCC":
		return &policy.Refusal{Code: 533, Say: "The control connection is not protected.", Why: why}
	}
	return &policy.Refusal{Code: 503, Say: "No security exchange has taken place.", Why: why}
}

// auth is AUTH (RFC 4217 §4) where the rule lets it pass. Nothing may follow
// it before the server has answered: bytes of both worlds in one buffer are
// how commands are smuggled into TLS (CVE-2011-1575).
func (s *session) auth(cmd ftp.Command) error {
	if s.client.Buffered() > 0 {
		refusal := &policy.Refusal{Code: 503, Say: "Wait for the reply to AUTH.", Why: "the client sent more behind AUTH"}
		s.logRefusal("AUTH", refusal)
		s.end(ending{say: string(trimLine(replyLine(refusal))), why: refusal.Why})
		return errEnded
	}
	if err := s.forward(exchange{verb: lookup("AUTH")}, cmd.Bytes()); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.over == nil && !s.secured && len(s.queue.waiting) > 0 {
		s.turn.Wait()
	}
	return nil
}

// authReply follows AUTH and ADAT. 234 (and 235, RFC 2228 §3) are the last
// words that can be read: the sockets are spliced then, and no data connection
// is opened any more. Every other answer leaves the dialogue in clear.
func (s *session) authReply(_ exchange, r *ftp.Reply) ([]byte, error) {
	if r.Code != 234 && r.Code != 235 {
		return r.Bytes(), nil
	}
	if s.server.Buffered() > 0 {
		s.end(ending{say: "421 The server sent more than a reply to AUTH.", why: "clear text behind the reply to AUTH (CVE-2021-22947)"})
		return nil, errEnded
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropChannel()
	s.secured, s.negotiated = true, r.Code == 235
	s.log.Info("the control connection turns to TLS: it passes unread, no data connection is opened for it",
		s.fields("tls.client is passthrough")...)
	return r.Bytes(), nil
}

// splice passes the bytes of a TLS session until both sides have ended or
// nothing has come for blindIdle.
func (s *session) splice(client, server net.Conn) {
	s.client.Release()
	s.server.Release()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pass(client, server)
	}()
	why := "closed under TLS"
	if s.handshakes(server, client) {
		pass(server, client)
	} else {
		why = "the client went on in clear text after AUTH"
		server.Close()
		client.Close()
	}
	<-done
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over == nil {
		s.over = &ending{why: why}
	}
}

// handshakes passes the client's first bytes on if they begin a TLS handshake
// record (RFC 8446 §5.1). Commands that were sent ahead of the 234 would else
// be the first thing that the server reads behind it. The end of the stream
// is left to pass.
func (s *session) handshakes(server, client net.Conn) bool {
	const handshake = 22
	first := make([]byte, 512)
	client.SetReadDeadline(time.Now().Add(s.rule.Timeouts.Login))
	n, err := client.Read(first)
	if n == 0 {
		return errors.Is(err, io.EOF)
	}
	if !s.negotiated && first[0] != handshake {
		return false
	}
	_, err = server.Write(first[:n])
	return err == nil
}

// pass copies one direction. net.TCPConn.ReadFrom does it with splice(2), the
// bytes stay in the kernel; so the deadline can only be set anew for a round.
func pass(to, from net.Conn) {
	const round = 1 << 20
	for {
		from.SetReadDeadline(time.Now().Add(blindIdle))
		n, err := io.CopyN(to, from, round)
		if n > 0 && isTimeout(err) {
			continue // a slow round, not a silent one
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				halfClose(to)
			} else {
				to.Close()
				from.Close()
			}
			return
		}
	}
}
