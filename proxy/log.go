package proxy

import (
	"time"

	"go.uber.org/zap"

	"github.com/ftpgate/ftpgate/proxy/ftp"
	"github.com/ftpgate/ftpgate/proxy/policy"
)

// The keys of a session's log lines are few and fixed: session, client,
// server, user, rule, verb, code, why.

func (s *session) sessionField() []zap.Field {
	return []zap.Field{zap.Uint64("session", s.id)}
}

func (s *session) fields(why string) []zap.Field {
	return append(s.sessionField(),
		zap.Stringer("client", s.clientLeg.peer), zap.Stringer("server", s.serverLeg.peer),
		zap.String("rule", s.rule.Name), zap.String("why", why))
}

func (s *session) logStart() {
	s.log.Info("session started", append(s.sessionField(),
		zap.Stringer("client", s.clientLeg.peer), zap.Stringer("dialled", s.clientLeg.local),
		zap.Stringer("server", s.serverLeg.peer), zap.Stringer("seen_as", s.serverLeg.local),
		zap.String("rule", s.rule.Name), zap.String("direction", string(s.rule.Direction)))...)
}

func (s *session) logEnd() {
	s.mu.Lock()
	defer s.mu.Unlock()
	why := "closed"
	if s.over != nil {
		why = s.over.why
	}
	s.log.Info("session ended", append(s.fields(why),
		zap.String("user", ftp.Quote([]byte(s.user))), zap.Duration("duration", time.Since(s.born)),
		zap.Int("transfers", s.tally.transfers), zap.Int("failed", s.tally.failed), zap.Uint64("bytes", s.tally.bytes))...)
}

// logAnnounced shows what was said and what was sent in its place. It comes with
// each file, so that it must cost nothing where nobody wants it.
func (s *session) logAnnounced(verb string, said func() string, sent []byte, ch *channel) {
	if line := s.log.Check(zap.DebugLevel, "data address announced"); line != nil {
		line.Write(append(s.sessionField(), zap.String("verb", verb), zap.String("said", said()),
			zap.String("sent", ftp.Quote(trimLine(sent))), zap.Stringer("pinhole", ch.lease.Hole()))...)
	}
}

// logRefusal is the one line that each refusal gets.
func (s *session) logRefusal(verb string, r *policy.Refusal) {
	s.gw.journal.refuse(r.Reason)
	s.log.Info("refused", append(s.fields(r.Why), zap.String("verb", verb), zap.Int("code", r.Code))...)
}

// logLoginFailure is for those who count them by the client's address. The
// server's words are left out: they may repeat what the client has sent.
func (s *session) logLoginFailure(x exchange) {
	user := s.user
	if x.verb.name == "USER" {
		user = x.arg // the server has refused the name already
	}
	s.log.Info("login failed", append(s.fields("the server has refused the login"),
		zap.String("verb", x.verb.name), zap.Int("code", 530), zap.String("user", ftp.Quote([]byte(user))))...)
}

func (s *session) logCut(ch *channel, err error) {
	s.log.Warn("a stalled data connection was cut", append(s.fields("no byte within timeouts.data_idle"),
		zap.Stringer("pinhole", ch.lease.Hole()), zap.NamedError("error", err))...)
}
