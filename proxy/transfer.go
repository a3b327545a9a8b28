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
	running   []Flow
	late      []Flow // of transfers that succeeded before conntrack told of their data connection
}

// watch takes a data connection over from its channel, to count it when it
// ends. One that never came is forgotten, unless the transfer that used it has
// succeeded: a short one can be over, its 226 passed on, before the event of
// its first packet has been read.
func (t *tally) watch(ch *channel, succeeded bool) {
	t.collect()
	switch {
	case ch.counted:
		return
	case ch.used():
		t.running = append(t.running, ch.flow)
		t.collect()
	case succeeded:
		t.late = append(t.late, ch.flow)
	default:
		ch.flow.Forget()
	}
	ch.counted = true
}

// collect adds up the data connections that have ended.
func (t *tally) collect() {
	t.late = slices.DeleteFunc(t.late, func(flow Flow) bool {
		began := isClosed(flow.Began())
		if began {
			t.running = append(t.running, flow)
		}
		return began
	})
	running := t.running[:0]
	for _, flow := range t.running {
		if isClosed(flow.Ended()) {
			t.bytes += flow.Payload()
			flow.Forget()
		} else {
			running = append(running, flow)
		}
	}
	clear(t.running[len(running):])
	t.running = running
}

// payload is what has been carried by now, running connections included.
func (t *tally) payload() uint64 {
	sum := t.bytes
	for _, flow := range t.running {
		sum += flow.Payload()
	}
	return sum
}

// settle closes the account: what still runs counts as far as it has come.
func (t *tally) settle() {
	t.collect()
	t.bytes = t.payload()
	for _, flow := range slices.Concat(t.running, t.late) {
		flow.Forget()
	}
	t.running, t.late = nil, nil
}

// lateEvents bounds the wait for events of conntrack that are on their way
// when a session ends. They come within milliseconds on a busy machine.
const lateEvents = 200 * time.Millisecond

// awaitEvents gives the events of data connections that are certainly over the
// time to arrive, so that the account of the session is whole.
func (s *session) awaitEvents() {
	s.mu.Lock()
	s.tally.collect()
	late := slices.Clone(s.tally.late)
	s.mu.Unlock()
	if len(late) == 0 {
		return
	}
	over := time.After(lateEvents)
	for _, flow := range late {
		select {
		case <-flow.Began():
		case <-over:
			return
		}
	}
}

// transferReply follows the verbs that open a data connection. Their final
// reply ends the pinhole, used or not.
func (s *session) transferReply(x exchange, r *ftp.Reply) ([]byte, error) {
	if r.Preliminary() {
		return r.Bytes(), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Code/100 == 2 {
		s.tally.transfers++
	} else {
		s.tally.failed++
	}
	if x.data != nil {
		x.data.close()
		s.tally.watch(x.data, r.Code/100 == 2)
	}
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
