package proxy

import (
	"strings"
	"time"

	"github.com/ftpgate/ftpgate/proxy/ftp"
)

// loginReply follows USER, PASS and ACCT (RFC 959 §5.4). Until 230 or 232 no
// pinhole is opened: who has not logged in has no business with data.
func (s *session) loginReply(x exchange, r *ftp.Reply) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.verb.name == "USER" && r.Code/100 <= 3 && !r.Preliminary() {
		// A server that refuses to change the user (5yz) leaves the old one logged in.
		s.user = x.arg
		s.dropChannel()
		s.logout()
	}
	switch {
	case r.Code == 230 || r.Code == 232 || r.Code == 202 && x.verb.name != "USER":
		s.loggedIn, s.declined = true, nil
	case r.Code == 530:
		s.failures++
		s.logLoginFailure(x)
		if s.failures >= s.rule.Limits.LoginFailures {
			// RFC 2577 §5: a few tries, then the connection ends.
			s.tellClient(r.Bytes())
			s.endLocked(ending{say: "421 Too many failed logins.", why: "limits.login_failures is reached"})
			return nil, errEnded
		}
	}
	return r.Bytes(), nil
}

// logout starts the time in which a login must succeed. s.mu is held.
func (s *session) logout() {
	if s.loggedIn {
		s.loggedIn, s.loginSince = false, time.Now()
		s.client.SetIdle(s.deadline())
	}
}

// reinitialized follows REIN: after its 220 nothing of the login is left, but
// a running transfer may finish (RFC 959 §4.1.1).
func (s *session) reinitialized(_ exchange, r *ftp.Reply) ([]byte, error) {
	if r.Code == 220 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.dropChannel()
		s.logout()
		s.user, s.onlyEPSV, s.blocks, s.image = "", false, false, false
	}
	return r.Bytes(), nil
}

// typeReply follows TYPE (RFC 959 §3.1.1; A is the default).
func (s *session) typeReply(x exchange, r *ftp.Reply) ([]byte, error) {
	if r.Code/100 == 2 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.image = strings.HasPrefix(x.arg, "I") || strings.HasPrefix(x.arg, "L")
	}
	return r.Bytes(), nil
}

// modeReply follows MODE: only in stream mode does the end of a file end the
// data connection (RFC 959 §3.4).
func (s *session) modeReply(x exchange, r *ftp.Reply) ([]byte, error) {
	if r.Code/100 == 2 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.blocks = x.arg == "B" || x.arg == "C"
	}
	return r.Bytes(), nil
}
