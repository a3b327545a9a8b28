package proxy

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/ftpgate/ftpgate/proxy/ftp"
	"github.com/ftpgate/ftpgate/proxy/policy"
)

// unusedTime is how long a negotiated data connection must have been awaited
// before giving it up is worth an account: clients change their mind.
const unusedTime = time.Second

// kinds are what the transfer verbs are for.
var kinds = map[string]Kind{
	"RETR": Download, "STOR": Upload, "STOU": Upload, "APPE": Upload,
	"LIST": Listing, "NLST": Listing, "MLSD": Listing,
}

// account is the beginning of every account of the session.
func (s *session) account(verb, path string) Transfer {
	return Transfer{
		Session: s.id, Began: time.Now(), Rule: s.rule.Name, Direction: string(s.rule.Direction), User: s.user,
		Client: s.clientLeg.peer, Server: s.serverLeg.peer, Verb: verb, Path: path, Kind: Nothing, Mode: NoMode,
	}
}

// accountOf is that of what an exchange has asked for, from its command to now.
func (s *session) accountOf(x exchange, path string) Transfer {
	t := s.account(x.verb.name, path)
	t.Duration = s.lasted(x)
	t.Began = t.Began.Add(-t.Duration)
	return t
}

// openAccount is for a transfer that goes to the server. Who has not logged in has
// no accounts: strangers shall not push out what failed for others.
func (s *session) openAccount(cmd ftp.Command, ch *channel) *Transfer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.loggedIn {
		return nil
	}
	t := s.account(cmd.Verb, string(cmd.Arg))
	t.Kind, t.Result = kinds[cmd.Verb], Running
	if ch != nil {
		t.Mode = ch.mode()
	}
	return &t
}

// closeAccount says how a transfer went. s.mu is held.
func (s *session) closeAccount(t *Transfer, how Result, reply string, why Diagnosis) {
	if t == nil {
		return
	}
	t.Duration, t.Result, t.Reply, t.Diagnosis = time.Since(t.Began), how, reply, why
	t.Image = s.image // replies come in order: this is the type that the transfer had
}

// accountRefusal records what the gateway itself has refused, if it was about a
// data connection: x is the command, or what the server's answer to it made of it.
func (s *session) accountRefusal(x exchange, path string, r *policy.Refusal) {
	if !x.verb.transfer && !x.verb.negotiates {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.loggedIn {
		return
	}
	t := s.accountOf(x, path)
	if kind, transfer := kinds[x.verb.name]; transfer {
		t.Kind = kind
	}
	t.Result, t.Reply, t.Diagnosis = Refused, string(trimLine(replyLine(r))), explainRefusal(r)
	switch {
	case x.verb.negotiates:
		s.declined = &declined{x.verb.name, t.Diagnosis}
	case r.Reason == policy.NotNegotiated && s.declined != nil:
		t.Diagnosis = s.declined.explain(t.Reply)
	}
	s.recordTransfer(t)
}

// declined is the last negotiation of a session, if it came to nothing. It
// explains a transfer that is asked for all the same.
type declined struct {
	verb string
	why  Diagnosis
}

func (d *declined) explain(reply string) Diagnosis {
	return Diagnosis{
		Cause:    d.why.Cause,
		Sentence: fmt.Sprintf("The client asked for a transfer though its %s had been refused, so that there was nothing to carry it. %s", d.verb, d.why.Sentence),
		Evidence: append([]string{"answered " + reply, "the refused " + d.verb + ":"}, d.why.Evidence...),
	}
}

// accountDecline records a negotiation that the server declines. A server that does not know the extended
// verbs (RFC 2428 §2, §3) is asked by the others next, and one that wants a login
// first says so to whoever tries; neither is a failure.
func (s *session) accountDecline(x exchange, r *ftp.Reply) {
	v, ch := x.verb, x.data
	if r.Code < 400 || r.Code == 530 {
		return
	}
	why := s.explainDecline(ch, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.declined = &declined{v.name, why}
	if extended := v.name == "EPRT" || v.name == "EPSV"; extended && (r.Code == 500 || r.Code == 502 || r.Code == 504 || r.Code == 522) {
		return
	}
	t := s.accountOf(x, "")
	t.Mode, t.Result, t.Reply, t.Diagnosis = Passive, Failed, replyText(r), why
	if ch != nil {
		t.Mode = ch.mode()
	}
	s.recordTransfer(t)
}

// giveUp records a negotiation that led to nothing, if it has been waited for.
// What looks as if it had been dropped may have come a moment ago: its account is
// returned, and is true if no event of conntrack says otherwise. s.mu is held.
func (s *session) giveUp(ch *channel) (doubtful *Transfer) {
	if isClosed(ch.lease.Done()) || time.Since(ch.opened) < unusedTime {
		return nil // an expired one has its account already
	}
	if s.retiring {
		if !ch.used() {
			s.recordTransfer(s.unused(ch, Diagnosis{Cause: CauseStopped, Sentence: "The gateway stopped before the data connection came."}))
		}
		return nil
	}
	f := s.ask(ch, s.factsOf(ch))
	if f.came && f.silent.IsZero() {
		return nil
	}
	t := s.unused(ch, explain(f))
	if t.Cause == CauseDropped {
		return &t
	}
	s.recordTransfer(t)
	return nil
}

// unused is the account of a negotiation without a transfer.
func (s *session) unused(ch *channel, why Diagnosis) Transfer {
	t := s.account(ch.verb, "")
	t.Began, t.Duration = ch.opened, time.Since(ch.opened)
	t.Mode, t.Result, t.Diagnosis = ch.mode(), Unused, why
	return t
}

// recordTransfer takes an account into the session's numbers, the journal, the log
// if there is something to explain, and the audit. s.mu is held.
func (s *session) recordTransfer(t Transfer) (id uint64) {
	switch id = s.gw.journal.record(t); t.Result {
	case Done:
		s.tally.transfers++
	case LeftRunning:
		s.logDiagnosis("a transfer was left to go on", t)
	default:
		s.tally.failed++
		s.logDiagnosis("a transfer did not happen", t)
	}
	if s.gw.Done != nil {
		s.gw.Done(t)
	}
	return id
}

func (s *session) logDiagnosis(message string, t Transfer) {
	s.log.Info(message, append(s.fields(t.Sentence), zap.String("user", ftp.Quote([]byte(t.User))),
		zap.String("verb", t.Verb), zap.String("path", ftp.Quote([]byte(t.Path))), zap.String("mode", string(t.Mode)),
		zap.String("result", string(t.Result)), zap.String("cause", string(t.Cause)), zap.Strings("evidence", t.Evidence))...)
}

// snapshot is the session at this moment.
func (s *session) snapshot() Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := Session{
		ID: s.id, Rule: s.rule.Name, Direction: string(s.rule.Direction), User: s.user, LoggedIn: s.loggedIn,
		Client: s.clientLeg.peer, Dialled: s.clientLeg.local, Server: s.serverLeg.peer,
		Began: s.born, Heard: s.lastHeard(), TLS: s.secured,
		Transfers: s.tally.transfers, Failed: s.tally.failed, Bytes: s.carried(),
	}
	if s.client != nil { // the legs do not change any more
		v.SeenAs, v.ClientVia, v.ServerVia = s.serverLeg.local, s.clientLeg.via, s.serverVia
	}
	ch := s.channel
	if x := s.queue.transferring(); x != nil && x.account != nil {
		t := *x.account
		t.Duration = time.Since(t.Began)
		switch {
		case x.data == nil || x.data.counted:
		case x.data.used():
			t.Bytes, _ = x.data.flow.Payload()
			if t.Bytes > 0 {
				break
			}
			if f := s.ask(x.data, s.factsOf(x.data)); !f.silent.IsZero() {
				t.Diagnosis = f.bySilence()
			}
		case x.data.missed != nil:
			t.Diagnosis = explain(*x.data.missed)
		default:
			ch = x.data
		}
		v.Transfer = &t
	}
	if ch != nil && !ch.used() && !isClosed(ch.lease.Done()) {
		v.Pinhole = ch.lease.Hole().String()
	}
	return v
}
