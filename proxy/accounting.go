package proxy

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/ftpgate/ftpgate/proxy/ftp"
	"github.com/ftpgate/ftpgate/proxy/policy"
)

const (
	// unusedTime is how long a negotiated data connection must have been awaited
	// before giving it up is worth an account: clients change their mind.
	unusedTime = time.Second
	// lateLooks are when the host is asked again, after a pinhole has expired,
	// whether its connection came too late. The port is lent to nobody else
	// meanwhile (nat.Ports lets it rest for a minute).
	firstLateLook, secondLateLook = 5 * time.Second, 50 * time.Second
)

// eventTime bounds the wait for the event of a connection whose packet was seen at
// its gate: conntrack's are read some milliseconds later. Only what has not come
// then was dropped.
const eventTime = 250 * time.Millisecond

// comes waits for a connection that may have come a moment ago.
func (ch *channel) comes() bool {
	select {
	case <-ch.flow.Began():
		return true
	case <-time.After(eventTime):
		return false
	}
}

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

// explainDecline explains a negotiation that the server declines. There are
// servers that connect at the PORT already: if they took their time for it, the
// data connection is the reason.
func (s *session) explainDecline(ch *channel, r *ftp.Reply) Diagnosis {
	if ch == nil {
		return facts{code: r.Code, reply: replyText(r)}.byServer()
	}
	var f facts
	s.locked(func() { f = s.factsOf(ch) })
	f.code, f.reply = r.Code, replyText(r)
	if f.waited < unusedTime {
		return f.byServer()
	}
	return s.explainChannel(ch, f)
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

// expired follows the end of a pinhole's life without a connection. If a
// transfer has asked for it, that transfer's account will tell.
func (s *session) expired(ch *channel) {
	f := s.factsOf(ch)
	f.expired = true
	f.seen, f.counted = ch.lease.Seen()
	f.refused = s.refusedSince(ch.opened)
	f.helper = s.helper()
	if w := s.gw.Witness; w != nil {
		f.blocked = w.Unforwarded(f.hole)
	}
	var id uint64
	s.locked(func() {
		ch.missed = &f
		if s.channel == ch {
			id = s.recordTransfer(s.unused(ch, explain(f)))
		}
	})
	if id != 0 {
		s.lookLate(id, f, firstLateLook)
		s.lookLate(id, f, secondLateLook)
	}
}

// lookLate corrects an account if the connection came after all.
func (s *session) lookLate(id uint64, f facts, after time.Duration) {
	if s.gw.Witness == nil {
		return
	}
	time.AfterFunc(after, func() {
		f.refused = s.refusedSince(f.opened)
		if d, found := f.byPacket(); found {
			if t, kept := s.gw.journal.correct(id, d); kept {
				s.logDiagnosis("it turned out later", t)
			}
		}
	})
}

// explainReply explains a transfer that the server says has failed.
func (s *session) explainReply(x exchange, r *ftp.Reply) Diagnosis {
	if x.data == nil {
		return facts{code: r.Code, reply: replyText(r), came: true}.byServer()
	}
	var f facts
	cut := false
	s.locked(func() {
		cut = x.data.cut
		f = s.factsOf(x.data)
	})
	f.code, f.reply = r.Code, replyText(r)
	if cut {
		return Diagnosis{Cause: CauseStalled, Evidence: f.evidence(), Sentence: fmt.Sprintf(
			"The data connection carried no byte within timeouts.data_idle (%s) and was cut.", s.rule.Timeouts.DataIdle)}
	}
	return s.explainChannel(x.data, f)
}

// explainChannel asks the host for what the dialogue does not tell. It may take
// eventTime, and nobody may hold the lock.
func (s *session) explainChannel(ch *channel, f facts) Diagnosis {
	d := explain(s.ask(ch, f))
	if d.Cause == CauseDropped && ch.comes() {
		f.came = true
		return explain(s.ask(ch, f))
	}
	return d
}

// ask adds what the host knows of a data connection.
func (s *session) ask(ch *channel, f facts) facts {
	if f.came {
		if since := ch.flow.Unanswered(); !since.IsZero() && time.Since(since) >= unusedTime {
			f.silent = since
		}
		return f
	}
	f.refused, f.helper = s.refusedSince(ch.opened), s.helper()
	if w := s.gw.Witness; w != nil && !f.counted {
		f.seen, f.counted = w.Seen(f.hole)[f.hole.ID]
		f.blocked = w.Unforwarded(f.hole)
	}
	return f
}

// factsOf are those of the dialogue, and what was known when the pinhole expired
// unused. s.mu is held.
func (s *session) factsOf(ch *channel) facts {
	f := facts{
		hole: ch.lease.Hole(), announced: ch.announced, passive: ch.passive, opened: ch.opened,
		waited: time.Since(ch.opened), came: ch.used(),
	}
	if ch.missed != nil {
		f.waited, f.expired, f.seen, f.counted, f.blocked = ch.missed.waited, true, ch.missed.seen, ch.missed.counted, ch.missed.blocked
	}
	return f
}

// leftBehind is for a transfer of which the control connection saw no end. What
// kept its data connection away is the reason, if that is known: one side has
// given up waiting. s.mu is held.
func (s *session) leftBehind(ch *channel) (Result, Diagnosis) {
	if s.over != nil && s.over.stop {
		return s.leftByStop(ch)
	}
	if d, known := s.keptAway(ch); known {
		return Failed, d
	}
	d := Diagnosis{Cause: CauseLeft, Sentence: "The control connection ended before the transfer did."}
	if s.over != nil {
		d.Evidence = []string{"the session ended: " + s.over.why}
	}
	return Failed, d
}

// leftByStop is for a transfer that runs while the gateway stops. Nobody will be
// there to see how it ends.
func (s *session) leftByStop(ch *channel) (Result, Diagnosis) {
	d := Diagnosis{Cause: CauseStopped, Evidence: []string{"the session ended: " + s.over.why}}
	if ch == nil || !ch.used() {
		d.Sentence = "The gateway stopped before the data connection came."
		return Failed, d
	}
	bytes, _ := ch.flow.Payload() // which notices the end
	d.Evidence = append(d.Evidence, fmt.Sprintf("the data connection had carried %d bytes by then", bytes))
	if ch.ended() {
		d.Sentence = "The data connection had ended, but the gateway stopped before the server said how the transfer went."
		return Failed, d
	}
	d.Sentence = "The gateway stopped while the data connection ran, and left it to go on in the kernel: how it ended is not known here."
	return LeftRunning, d
}

// keptAway explains a data connection that a transfer has waited for in vain. A
// single packet at the gate may be of a connection that came a moment ago.
func (s *session) keptAway(ch *channel) (d Diagnosis, known bool) {
	if ch == nil || time.Since(ch.opened) < unusedTime {
		return Diagnosis{}, false
	}
	f := s.ask(ch, s.factsOf(ch))
	if f.came && f.silent.IsZero() {
		return Diagnosis{}, false
	}
	if d = explain(f); d.Cause == CauseDropped && f.seen < 2 {
		return Diagnosis{}, false
	}
	if s.over != nil {
		d.Evidence = append(d.Evidence, "the session ended: "+s.over.why)
	}
	return d, true
}

func (s *session) refusedSince(moment time.Time) []RefusedPacket {
	if s.gw.Witness == nil {
		return nil
	}
	return s.gw.Witness.Refused(moment)
}

// helper is the conntrack helper on either control connection.
func (s *session) helper() string {
	w := s.gw.Witness
	if w == nil {
		return ""
	}
	if name := w.Helper(s.clientLeg.peer, s.clientLeg.local); name != "" {
		return name
	}
	return w.Helper(s.serverLeg.local, s.serverLeg.peer)
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
