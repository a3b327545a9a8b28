package proxy

import (
	"slices"
	"time"

	"github.com/ftpgate/ftpgate/proxy/ftp"
)

// tally counts what the data connections of a session carried. It is guarded
// by session.mu.
type tally struct {
	transfers int    // that ended with 2yz
	failed    int    // that did not
	bytes     uint64 // of data connections that have ended
	running   []carried
	late      []late // of transfers that succeeded before conntrack told of their data connection
	record    func(Transfer)
}

// carried is a data connection of which all has been said, and the account that
// its bytes go to.
type carried struct {
	Flow
	account *Transfer // nil: it has none
}

// late is such a data connection. Its pinhole is spent in the kernel, if it came;
// that it did is known when conntrack tells. Its account is that of a transfer
// that is done, or one that is true only if the connection has not come.
type late struct {
	*channel
	account *Transfer
	since   time.Time
}

// watch takes a data connection over from its channel, to count it when it
// ends, and then to record the account of its transfer (nil: there is none). One
// that never came is forgotten, unless the transfer that used it has succeeded:
// a short one can be over, its 226 passed on, before the event of its first
// packet has been read.
func (t *tally) watch(ch *channel, account *Transfer) {
	t.collect()
	switch {
	case ch.counted: // it carries a further file, in MODE B
		t.settleAccount(account, 0)
		return
	case ch.used(): // conntrack may have told just now
		ch.close()
		ch.flow.Closing()
		if account != nil && account.Result != Done {
			// What failed is told at once: a server may leave its data connection open.
			bytes, _ := ch.flow.Payload()
			t.settleAccount(account, bytes)
			account = nil
		}
		t.running = append(t.running, carried{ch.flow, account})
		t.collect()
	case account != nil && account.Result == Done:
		ch.flow.Closing()
		t.late = append(t.late, late{ch, account, time.Now()})
	default:
		ch.flow.Forget()
		t.settleAccount(account, 0)
	}
	ch.counted = true
}

// doubt takes a data connection over that was given up, and that seems to have
// been dropped on this host. The account is recorded if it has not come by now.
func (t *tally) doubt(ch *channel, account *Transfer) {
	t.late = append(t.late, late{ch, account, time.Now()})
	ch.counted = true
}

// patience is how long conntrack may take to tell of it.
func (l late) patience() time.Duration {
	if l.account.Result == Done {
		return lateEvents
	}
	return eventTime
}

// settleAccount records a transfer once nothing about it can change any more.
func (t *tally) settleAccount(account *Transfer, bytes uint64) {
	if account != nil {
		account.Bytes = bytes
		t.record(*account)
	}
}

// collect adds up the data connections that have ended.
func (t *tally) collect() {
	t.late = slices.DeleteFunc(t.late, func(l late) bool {
		switch {
		case l.used() && l.account.Result == Done:
			t.running = append(t.running, carried{l.flow, l.account})
		case l.used():
			t.running = append(t.running, carried{l.flow, nil})
		case time.Since(l.since) >= l.patience():
			l.flow.Forget() // there was no data connection
			t.settleAccount(l.account, 0)
		default:
			return false
		}
		l.close()
		return true
	})
	running := t.running[:0]
	for _, c := range t.running {
		if isClosed(c.Ended()) {
			bytes, _ := c.Payload()
			t.bytes += bytes
			c.Forget()
			t.settleAccount(c.account, bytes)
		} else {
			running = append(running, c)
		}
	}
	clear(t.running[len(running):])
	t.running = running
}

// settled reports whether every account is closed.
func (t *tally) settled() bool { return len(t.running) == 0 && len(t.late) == 0 }

// payload is what has been carried by now, running connections included.
func (t *tally) payload() uint64 {
	sum := t.bytes
	for _, c := range t.running {
		bytes, _ := c.Payload()
		sum += bytes
	}
	return sum
}

// settle closes the account: what still runs counts as far as it has come.
func (t *tally) settle() {
	t.collect()
	for _, c := range t.running {
		bytes, _ := c.Payload()
		t.bytes += bytes
		c.Forget()
		t.settleAccount(c.account, bytes)
	}
	for _, l := range t.late {
		l.close()
		l.flow.Forget()
		t.settleAccount(l.account, 0)
	}
	t.running, t.late = nil, nil
}

// lateEvents bounds the wait for events of conntrack that are on their way.
// They come within milliseconds. A leg that rests has been silent for longer, so
// that this is the last look at what never came.
const lateEvents = silence / 2

// lastEvents is how long the end of a session waits for them.
const lastEvents = 2 * silence

// awaitEvents gives the events of data connections that are certainly over the
// time to arrive, so that the account of the session is whole.
func (s *session) awaitEvents() {
	var waiting []late
	s.locked(func() {
		s.tally.collect()
		waiting = slices.Clone(s.tally.late)
	})
	if len(waiting) == 0 {
		return
	}
	over := time.After(lastEvents)
	for _, l := range waiting {
		select {
		case <-l.flow.Began():
		case <-over:
			return
		}
	}
}

// crossing is how long the pinhole of a passive transfer that the server has
// refused stays open: a client that sends RETR before it connects may be doing
// that while the 550 is on its way, and should find the server's closed port
// rather than silence.
const crossing = 500 * time.Millisecond

// fade closes a pinhole after crossing, or before with the session. s.mu is held.
func (s *session) fade(ch *channel) {
	s.closeFading()
	s.fading = ch
	time.AfterFunc(crossing, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.fading == ch {
			s.closeFading()
		}
	})
}

func (s *session) closeFading() {
	if s.fading != nil {
		s.fading.close()
		s.fading = nil
	}
}

// transferReply follows the verbs that open a data connection. Their final
// reply ends the pinhole, used or not; after a success within the wait for the
// events of conntrack.
func (s *session) transferReply(x exchange, r *ftp.Reply) ([]byte, error) {
	if r.Preliminary() {
		return r.Bytes(), nil
	}
	good := r.Code/100 == 2
	var why Diagnosis
	if !good {
		why = s.explainReply(x, r) // before the pinhole goes, and without the lock
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil { // meanwhile: its end has closed the account
		return nil, errEnded
	}
	how := Failed
	if good {
		how = Done
	}
	s.closeAccount(x.account, how, replyText(r), why)
	if x.data == nil {
		s.tally.settleAccount(x.account, 0)
		return r.Bytes(), nil
	}
	switch {
	case x.data.used(), !good && !x.data.passive:
		x.data.close()
	case good: // see tally.watch
	default:
		s.fade(x.data)
	}
	s.tally.watch(x.data, x.account)
	return r.Bytes(), nil
}

// aborted follows ABOR: its final reply ends what was negotiated and not used.
func (s *session) aborted(_ exchange, r *ftp.Reply) ([]byte, error) {
	if r.Code/100 == 2 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.dropChannel()
	}
	return r.Bytes(), nil
}

// maxFeatures bounds the lines of a reply to FEAT; real servers have 30.
const maxFeatures = 256

// features takes out of FEAT what the gateway refuses (RFC 2389 §3.2), so that
// no client tries it. It invents nothing.
func (s *session) features(_ exchange, r *ftp.Reply) ([]byte, error) {
	if r.Code/100 != 2 {
		return r.Bytes(), nil
	}
	if r.Count() > maxFeatures {
		return nil, &ftp.ReplyError{Why: "FEAT has too many lines"}
	}
	return ftp.FilterFeatures(r, func(feature string) bool {
		switch feature {
		case "UTF8", "TVFS": // properties, not verbs (RFC 2640 §3.2, RFC 3659 §6)
			return false
		case "PORT", "EPRT":
			return !s.rule.Active
		case "PASV", "EPSV":
			return !s.rule.Passive
		}
		return s.permit(lookup(feature), ftp.Command{Verb: feature}) != nil
	}), nil
}
