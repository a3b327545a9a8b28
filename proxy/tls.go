package proxy

import (
	"errors"
	"fmt"
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
		return &policy.Refusal{Reason: policy.TLSDenied, Code: 534, Say: "TLS is not allowed here.", Why: why}
	case "CCC":
		return &policy.Refusal{Reason: policy.TLSDenied, Code: 533, Say: "The control connection is not protected.", Why: why}
	}
	return &policy.Refusal{Reason: policy.TLSDenied, Code: 503, Say: "No security exchange has taken place.", Why: why}
}

// auth is AUTH (RFC 4217 §4), or ADAT (RFC 2228 §3), where the rule lets it pass. Nothing may follow
// it before the server has answered: bytes of both worlds in one buffer are
// how commands are smuggled into TLS (CVE-2011-1575).
func (s *session) auth(cmd ftp.Command) error {
	if s.client.Buffered() > 0 {
		refusal := &policy.Refusal{Reason: policy.TLSDenied, Code: 503, Say: "Wait for the reply to AUTH.", Why: "the client sent more behind " + cmd.Verb}
		s.logRefusal(cmd.Verb, refusal)
		s.end(ending{say: string(trimLine(replyLine(refusal))), why: refusal.Why})
		return errEnded
	}
	if err := s.forward(exchange{verb: lookup(cmd.Verb)}, cmd.Bytes()); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.await(func() bool { return !s.secured && len(s.queue.waiting) > 0 })
}

// authReply follows AUTH and ADAT. 234 (and 235, RFC 2228 §3) are the last
// words that can be read: bytes pass blind then, and no data connection is
// opened any more. Every other answer leaves the dialogue in clear.
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
	blind := s.account("AUTH", "")
	blind.Result, blind.Reply, blind.Diagnosis = Unused, replyText(r), explainTLS(replyText(r))
	s.recordTransfer(blind)
	s.secured, s.negotiated = true, r.Code == 235
	s.log.Info("the control connection turns to TLS: it passes unread, no data connection is opened for it",
		s.fields("tls.client is passthrough")...)
	return r.Bytes(), nil
}

// passBlind passes the bytes of a TLS session until both sides have ended or
// nothing has come for blindIdle.
func (s *session) passBlind(client, server net.Conn) {
	s.client.Release()
	s.server.Release()
	for _, c := range []net.Conn{client, server} {
		c.SetDeadline(time.Time{}) // those of single lines hold no longer
	}
	why := "closed under TLS"
	if err := s.handshake(client, server); err != nil {
		why = err.Error()
		client.Close()
		server.Close()
	}
	s.touch()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.pass(client, server)
	}()
	s.pass(server, client)
	<-done
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over == nil {
		s.over = &ending{why: why}
	}
}

// handshake passes the client's first bytes on if they begin a TLS record
// (RFC 8446 §5.1), and if the server has said nothing before them: in TLS the
// client speaks first. Commands that were sent ahead of the 234, or replies
// behind it, would else be taken for protected ones (CVE-2011-1575,
// CVE-2021-22947).
func (s *session) handshake(client, server net.Conn) error {
	const record, glance = 22, time.Millisecond
	if s.negotiated {
		return nil
	}
	first := make([]byte, 512)
	client.SetReadDeadline(time.Now().Add(s.rule.Timeouts.Login))
	n, err := client.Read(first)
	if n == 0 {
		return fmt.Errorf("the client began no TLS handshake: %w", err)
	}
	if first[0] != record {
		return errors.New("the client went on in clear text after AUTH")
	}
	server.SetReadDeadline(time.Now().Add(glance))
	if m, _ := server.Read(make([]byte, 1)); m > 0 {
		return errors.New("the server went on in clear text after AUTH")
	}
	server.SetWriteDeadline(time.Now().Add(blindIdle))
	_, err = server.Write(first[:n])
	return err
}

// pass copies one direction. The session has ended when neither has passed a
// byte for blindIdle.
func (s *session) pass(to, from net.Conn) {
	buf := make([]byte, 4096)
	for {
		from.SetReadDeadline(s.lastHeard().Add(blindIdle))
		n, err := from.Read(buf)
		if n > 0 {
			s.touch()
			to.SetWriteDeadline(time.Now().Add(blindIdle))
			if _, err := to.Write(buf[:n]); err != nil {
				to.Close()
				from.Close()
				return
			}
		}
		switch {
		case err == nil, isTimeout(err) && time.Since(s.lastHeard()) < blindIdle: // the other direction moves
		case errors.Is(err, io.EOF):
			halfClose(to)
			return
		default:
			to.Close()
			from.Close()
			return
		}
	}
}
