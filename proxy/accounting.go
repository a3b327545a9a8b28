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

// openAccount is for a transfer that goes to the server.
func (s *session) openAccount(cmd ftp.Command, ch *channel) *Transfer {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.account(cmd.Verb, string(cmd.Arg))
	t.Kind, t.Result = kinds[cmd.Verb], Running
	if ch != nil {
		t.Mode = ch.mode()
	}
	return &t
}

// closeAccount says how a transfer went. s.mu is held.
func (s *session) closeAccount(t *Transfer, good bool, reply string, why Diagnosis) {
	if good {
		s.tally.transfers++
	} else {
		s.tally.failed++
	}
	if t == nil {
		return
	}
	t.Duration, t.Reply, t.Diagnosis = time.Since(t.Began), reply, why
	t.Image = s.image // replies come in order: this is the type that the transfer had
	t.Result = Failed
	if good {
		t.Result = Done
	}
}

// accountRefusal records what the gateway itself has refused, if it was about a
// data connection.
func (s *session) accountRefusal(verb, path string, r *policy.Refusal) {
	v := lookup(verb)
	if !v.transfer && !v.negotiates {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.account(verb, path)
	if kind, transfer := kinds[verb]; transfer {
		t.Kind = kind
	}
	t.Result, t.Reply, t.Diagnosis = Refused, string(trimLine(replyLine(r))), explainRefusal(r)
	s.recordTransfer(t)
}

// accountDecline records a negotiation that the server declines: ch is what was
// opened for it, nil where nothing was. A server that does not know the extended
// verbs (RFC 2428 §2, §3) is asked by the others next, and one that wants a login
// first says so to whoever tries; neither is a failure.
func (s *session) accountDecline(v *verb, ch *channel, r *ftp.Reply) {
	extended := v.name == "EPRT" || v.name == "EPSV"
	switch {
	case r.Code < 400, r.Code == 530, extended && (r.Code == 500 || r.Code == 502 || r.Code == 504 || r.Code == 522):
		return
	}
	f := facts{code: r.Code, reply: replyText(r)}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.account(v.name, "")
	t.Mode, t.Result, t.Reply = Passive, Failed, f.reply
	if ch != nil {
		t.Mode, f.hole, f.announced, f.opened = ch.mode(), ch.lease.Hole(), ch.announced, ch.opened
	}
	t.Diagnosis = f.byServer()
	s.recordTransfer(t)
}

// giveUp records a negotiation that led to nothing, if it has been waited for.
// s.mu is held.
func (s *session) giveUp(ch *channel) {
	if ch.used() || isClosed(ch.lease.Done()) || time.Since(ch.opened) < unusedTime {
		return // an expired one has its account already
	}
	f := s.factsOf(ch)
	f.refused = s.refusedSince(ch.opened)
	if w := s.gw.Witness; w != nil && !s.retiring {
		f.seen, f.counted = w.Seen(f.hole)[f.hole.ID]
		f.blocked = w.Unforwarded(f.hole)
	}
	f.helper = s.helper()
	t := s.unused(ch, explain(f))
	if t.Cause != CauseDropped {
		s.recordTransfer(t)
		return
	}
	go func() { // s.mu is held, nobody may wait here
		if !ch.comes() {
			s.recordTransfer(t)
		}
	}()
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
			id = s.gw.record(s, s.unused(ch, explain(f)))
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
		if x.data.missed != nil {
			f = *x.data.missed
		} else {
			f = s.factsOf(x.data)
		}
	})
	f.code, f.reply = r.Code, replyText(r)
	if cut {
		return Diagnosis{Cause: CauseStalled, Evidence: f.evidence(), Sentence: fmt.Sprintf(
			"The data connection carried no byte within timeouts.data_idle (%s) and was cut.", s.rule.Timeouts.DataIdle)}
	}
	if f.came = x.data.used(); f.came {
		return explain(f)
	}
	f.refused, f.helper = s.refusedSince(x.data.opened), s.helper()
	if w := s.gw.Witness; w != nil && !f.counted {
		f.seen, f.counted = w.Seen(f.hole)[f.hole.ID]
		f.blocked = w.Unforwarded(f.hole)
	}
	d := explain(f)
	if d.Cause == CauseDropped && x.data.comes() {
		f.came = true
		return explain(f)
	}
	return d
}

// factsOf are those of the dialogue.
func (s *session) factsOf(ch *channel) facts {
	return facts{
		hole: ch.lease.Hole(), announced: ch.announced, passive: ch.passive, opened: ch.opened,
		waited: time.Since(ch.opened), came: ch.used(),
	}
}

// leftBehind is for a transfer of which the control connection saw no end. What
// kept its data connection away is the reason, if that is known: one side has
// given up waiting. s.mu is held.
func (s *session) leftBehind(ch *channel) Diagnosis {
	if d, known := s.keptAway(ch); known {
		return d
	}
	d := Diagnosis{Cause: CauseLeft, Sentence: "The control connection ended before the transfer did."}
	if s.over != nil {
		d.Evidence = []string{"the session ended: " + s.over.why}
	}
	return d
}

// keptAway explains a data connection that a transfer has waited for in vain. A
// single packet at the gate may be of a connection that came a moment ago.
func (s *session) keptAway(ch *channel) (d Diagnosis, known bool) {
	if ch == nil || ch.used() || s.retiring || time.Since(ch.opened) < unusedTime {
		return Diagnosis{}, false
	}
	f := s.factsOf(ch)
	if ch.missed != nil {
		f = *ch.missed
	}
	f.refused, f.helper = s.refusedSince(ch.opened), s.helper()
	if w := s.gw.Witness; w != nil && !f.counted {
		f.seen, f.counted = w.Seen(f.hole)[f.hole.ID]
		f.blocked = w.Unforwarded(f.hole)
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

// recordTransfer takes an account into the journal.
func (s *session) recordTransfer(t Transfer) { s.gw.record(s, t) }

// record takes an account into the journal, the log if it failed, and the audit.
func (g *Server) record(s *session, t Transfer) (id uint64) {
	id = g.journal.record(t)
	if t.Result != Done {
		s.logDiagnosis("a transfer did not happen", t)
	}
	if g.Done != nil {
		g.Done(t)
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
