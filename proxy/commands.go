package proxy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/ftpgate/ftpgate/proxy/ftp"
	"github.com/ftpgate/ftpgate/proxy/policy"
)

// A client that negotiates again and again without using what it got is either
// broken or after our ports: so many in a burst, then one a second.
const (
	renewalBurst = 20
	renewalRate  = rate.Limit(1)
)

// commands reads the client until it leaves or the session is over, or until
// it is silent.
func (s *session) commands() (silent bool) {
	for {
		cmd, err := s.client.ReadCommand()
		if s.ended() {
			return false
		}
		if err == nil {
			s.touch()
			err = s.obey(cmd)
		}
		silent = isTimeout(err)
		if err = s.recover(cmd, err); err != nil || s.blind() {
			return false
		}
		if silent {
			return true
		}
		s.awake(s.client)
	}
}

// recover turns the error of one command into its reply and lets the session
// live, or ends it and returns errEnded.
func (s *session) recover(cmd ftp.Command, err error) error {
	if err == nil {
		return nil // before anything that allocates
	}
	var syntax *ftp.SyntaxError
	var refusal *policy.Refusal
	switch {
	case errors.As(err, &syntax):
		s.reject(cmd.Verb, syntax)
		s.accountRefusal(s.command(cmd.Verb), string(cmd.Arg), asRefusal(syntax))
		return nil // if it was the last one, the loop sees the end
	case errors.As(err, &refusal):
		s.refuse(cmd.Verb, refusal)
		s.accountRefusal(s.command(cmd.Verb), string(cmd.Arg), refusal)
		return nil
	case errors.Is(err, ftp.ErrLineTimeout):
		s.end(ending{say: "421 Timeout.", why: err.Error()})
		return errEnded
	case isTimeout(err):
		s.mu.Lock()
		defer s.mu.Unlock()
		if over := s.overdue(time.Now()); over != nil {
			s.endLocked(*over)
		}
		return nil
	case isEOF(err):
		s.clientGone()
	case !errors.Is(err, errEnded):
		s.end(ending{why: "the client's connection broke: " + err.Error()})
	}
	return errEnded
}

// obey carries out one command: checks it against the rule, gives it to its
// handler or sends it on as it is.
func (s *session) obey(cmd ftp.Command) error {
	v := lookup(cmd.Verb)
	if err := s.room(v); err != nil {
		return err
	}
	if err := s.permit(v, cmd); err != nil {
		return err
	}
	if v.command != nil {
		return v.command(s, cmd)
	}
	return s.forward(exchange{verb: v}, cmd.Bytes())
}

// room waits until one more command may be under way, and until it is clear
// what a data command relates to: a pipelined PASV belongs to the login before
// it, a pipelined RETR to the PASV before it.
func (s *session) room(v *verb) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over == nil && !s.welcome {
		s.endLocked(ending{say: "421 Wait for the greeting.", why: "the client spoke before the server's greeting"})
	}
	return s.await(func() bool {
		q := &s.queue
		return len(q.waiting) >= maxPending || v.waits && q.unsettled > 0 || v.negotiates && q.unused()
	})
}

// permit is what the rule says of the verb.
func (s *session) permit(v *verb, cmd ftp.Command) error {
	switch {
	case v.disabled != "":
		return &policy.Refusal{Reason: policy.NotImplemented, Code: 502, Say: "Command not implemented.", Why: cmd.Verb + " " + v.disabled}
	case v.tls && s.rule.TLS == policy.RefuseTLS:
		return noTLS(v)
	}
	return s.rule.Commands.Allow(cmd.Verb, cmd.Arg)
}

// forward sends a command on; its exchange joins the queue first, so that no
// reply can be quicker.
func (s *session) forward(x exchange, command []byte) error {
	x.since = s.moment()
	if !s.enqueue(x) {
		return errEnded
	}
	// In one write, so that no server ever sees half a PORT.
	if _, err := s.server.Write(command); err != nil {
		s.end(ending{say: "421 The server closed the connection.", why: "writing to the server: " + err.Error()})
		return errEnded
	}
	return nil
}

// enqueue reports whether the session still takes commands.
func (s *session) enqueue(x exchange) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil {
		return false
	}
	s.queue.push(x)
	return true
}

// reject answers a line that is no FTP.
func (s *session) reject(verb string, e *ftp.SyntaxError) {
	var tooMany bool
	s.locked(func() {
		s.errors++
		tooMany = s.errors >= maxErrors
	})
	switch {
	case e.Fatal:
	case tooMany:
		e = &ftp.SyntaxError{Code: 421, Say: "Too many errors.", Why: e.Why}
	default:
		s.refuse(verb, asRefusal(e))
		return
	}
	s.logRefusal(verb, asRefusal(e))
	last := ending{why: e.Why}
	if e.Code != 0 {
		last.say = string(trimLine(replyLine(asRefusal(e))))
	}
	s.end(last)
}

// refuse answers a command in the server's stead, in its turn: behind the
// replies to the commands before it.
func (s *session) refuse(verb string, r *policy.Refusal) {
	s.logRefusal(verb, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil {
		return
	}
	s.refusals++
	q := &s.queue
	q.push(exchange{verb: ours, ours: string(replyLine(r)), insists: len(q.waiting) == 1 && q.waiting[0].aborted})
	if !q.relaying {
		s.flush()
	}
	if limit := s.refusalLimit(); s.refusals >= limit {
		s.endLocked(ending{say: "421 Too many refused commands.", why: fmt.Sprintf("%d commands were refused", limit)})
	}
}

// refusalLimit bounds how often a session makes us say no, and write it down.
// A stranger has less of it than who has logged in.
func (s *session) refusalLimit() int {
	if s.loggedIn {
		return maxRefusals
	}
	return maxErrors
}

func replyLine(r *policy.Refusal) []byte {
	return []byte(strconv.Itoa(r.Code) + " " + r.Say + "\r\n")
}

func trimLine(line []byte) []byte { return line[:len(line)-len("\r\n")] }

// claimUser is USER: the rule may know who is not welcome (530).
func (s *session) claimUser(cmd ftp.Command) error {
	name := string(cmd.Arg[:min(len(cmd.Arg), maxUserName)])
	// Some servers trim what others take for part of the name.
	bare := strings.TrimFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f })
	if err := s.rule.Users.Admit(bare); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.failures++; s.failures >= s.rule.Limits.LoginFailures {
			s.logRefusal("USER", asRefusal(err))
			s.endLocked(ending{say: "421 Too many failed logins.", why: "limits.login_failures is reached"})
			return errEnded
		}
		return err
	}
	return s.forward(exchange{verb: lookup("USER"), arg: name}, cmd.Bytes())
}

// quit revokes what is unused at once; a running transfer ends by itself.
func (s *session) quit(cmd ftp.Command) error {
	s.locked(s.dropChannel)
	return s.forward(exchange{verb: lookup("QUIT")}, cmd.Bytes())
}

// set is MODE and TYPE: what they set is known from the reply.
func (s *session) set(cmd ftp.Command) error {
	return s.forward(exchange{verb: lookup(cmd.Verb), arg: strings.ToUpper(strings.TrimSpace(string(cmd.Arg)))}, cmd.Bytes())
}

// negotiable is what PORT, EPRT, PASV and EPSV have in common: a login, no
// EPSV ALL before them, and no more than so many in vain. What was negotiated
// before is void.
func (s *session) negotiable(verb string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.loggedIn {
		return &policy.Refusal{Reason: policy.NotLoggedIn, Code: 530, Say: "Please login with USER and PASS.", Why: verb + " before the login"}
	}
	if s.onlyEPSV && verb != "EPSV" {
		return &policy.Refusal{Reason: policy.OnlyEPSV, Code: 500, Say: "Not allowed after EPSV ALL.", Why: verb + " after EPSV ALL"}
	}
	if s.channel != nil {
		if s.renewals == nil {
			s.renewals = rate.NewLimiter(renewalRate, renewalBurst)
		}
		if !s.renewals.Allow() {
			return &policy.Refusal{Reason: policy.TooOften, Code: 425, Say: "Too many data connections were asked for in vain, wait a moment.", Why: "negotiated again and again without a transfer"}
		}
	}
	s.dropChannel()
	s.declined = nil
	return s.reachable()
}

// transfer is each verb that opens a data connection.
func (s *session) transfer(cmd ftp.Command) error {
	ch, err := s.claimChannel()
	if err != nil {
		return err
	}
	return s.forward(exchange{verb: lookup(cmd.Verb), data: ch, account: s.openAccount(cmd, ch)}, cmd.Bytes())
}

// claimChannel takes the channel that was negotiated last, for one transfer. It is
// nil before the login: the server says 530.
func (s *session) claimChannel() (*channel, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := s.channel
	switch {
	case !s.loggedIn:
		return nil, nil
	case ch == nil && s.blocks:
		return s.block, nil
	case ch == nil:
		return nil, &policy.Refusal{Reason: policy.NotNegotiated, Code: 425, Say: "Use PORT or PASV first.", Why: "a transfer without a negotiated data connection"}
	case !ch.usable():
		s.dropChannel()
		return nil, &policy.Refusal{Reason: policy.Expired, Code: 425, Say: "The data connection was not used in time, use PORT or PASV again.", Why: "the pinhole has expired"}
	}
	s.channel, s.block, s.declined = nil, nil, nil
	if s.blocks {
		s.block = ch // may carry the next file as well
	}
	return ch, nil
}
