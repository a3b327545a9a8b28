package proxy

import (
	"fmt"
	"time"

	"github.com/ftpgate/ftpgate/proxy/ftp"
)

// lateLooks are when the host is asked again, after a pinhole has expired,
// whether its connection came too late. The port is lent to nobody else
// meanwhile (nat.Ports lets it rest for a minute).
const firstLateLook, secondLateLook = 5 * time.Second, 50 * time.Second

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
