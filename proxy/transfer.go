package proxy

import (
	"github.com/ftpgate/ftpgate/proxy/ftp"
)

// tally counts what the data connections of a session carried. It is guarded
// by session.mu.
type tally struct {
	transfers int    // that ended with 2yz
	failed    int    // that did not
	bytes     uint64 // of data connections that have ended
	running   []Flow
}

// watch takes a data connection over from its channel, to count it when it
// ends. One that never came is forgotten.
func (t *tally) watch(ch *channel) {
	t.collect()
	if ch.counted {
		return
	}
	ch.counted = true
	if !ch.used() {
		ch.flow.Forget()
		return
	}
	t.running = append(t.running, ch.flow)
	t.collect()
}

// collect adds up the data connections that have ended.
func (t *tally) collect() {
	running := t.running[:0]
	for _, flow := range t.running {
		select {
		case <-flow.Ended():
			t.bytes += flow.Payload()
			flow.Forget()
		default:
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
	t.bytes = t.payload()
	for _, flow := range t.running {
		flow.Forget()
	}
	t.running = nil
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
		s.tally.watch(x.data)
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
