package proxy

import (
	"slices"
	"time"

	"github.com/ftpgate/ftpgate/proxy/ftp"
)

// maxPending bounds the commands of one session that wait for their reply.
// Past it the gateway stops reading the client until the server catches up.
const maxPending = 32

// exchange is one command under way: pushed when the command leaves for the
// server, done when its final reply has left for the client. A reply means
// something only as the answer to the exchange at the head of the queue.
type exchange struct {
	verb    *verb     // never nil; (ours) for a reply of the gateway's own
	arg     string    // kept only by verbs whose reply handler wants it
	data    *channel  // of a transfer: its data connection; of PORT and EPRT: the one they announce
	account *Transfer // of a transfer
	ours    string    // a reply of the gateway's own that waits for its turn; no server is asked
	insists bool      // of ours: only an ABOR stands before it that may have been answered already
	started bool      // a 1yz has been seen
	aborted bool      // of ABOR: 426 has been seen, or the transfer's last reply; 226 may follow
	since   uint32    // when its command came, in ms since the session began (and round again after 49 days)
}

// command is a command that is answered now, and waits for nobody.
func (s *session) command(verb string) exchange {
	return exchange{verb: lookup(verb), since: s.moment()}
}

// moment is now, as exchanges have it.
func (s *session) moment() uint32 { return uint32(time.Since(s.born) / time.Millisecond) }

// lasted is the time from the command to now.
func (s *session) lasted(x exchange) time.Duration {
	return time.Duration(s.moment()-x.since) * time.Millisecond
}

// queue is the order in which a session's replies are due. It is guarded by
// session.mu. While the reader of replies acts on an exchange without the lock,
// relaying is set and nobody else pops.
type queue struct {
	relaying  bool
	waiting   []exchange
	unsettled int  // waiting exchanges whose reply decides what a data command means
	abortEcho bool // an ABOR was answered: one more 225 or 226 may come (RFC 959 §4.1.3, two replies)
}

func (q *queue) push(x exchange) {
	q.waiting = append(q.waiting, x)
	if x.verb.settles {
		q.unsettled++
	}
}

func (q *queue) pop(i int) {
	if q.waiting[i].verb.settles {
		q.unsettled--
	}
	q.waiting = slices.Delete(q.waiting, i, i+1) // which forgets what the exchange held
	if len(q.waiting) == 0 && cap(q.waiting) > 4 {
		q.waiting = nil // a burst must not weigh on an idle session
	}
}

// unanswered reports whether the head of the queue will get no reply any more,
// as the reply r to a later command shows: servers differ in how they answer
// an ABOR, and some end a transfer that was cut without a word.
func (q *queue) unanswered(r *ftp.Reply) bool {
	if len(q.waiting) < 2 {
		return false
	}
	head := &q.waiting[0]
	if head.aborted {
		// Transfer and ABOR were answered in one (pyftpdlib).
		return r.Code != 225 && r.Code != 226
	}
	// A transfer begins while another one has not ended (Pure-FTPd, whose
	// client has closed the data connection).
	return head.started && (r.Code == 125 || r.Code == 150) &&
		slices.ContainsFunc(q.waiting[1:], func(x exchange) bool { return x.verb.transfer && !x.started })
}

// match finds the exchange that a reply answers: the head of the queue, with
// the exceptions that RFC 959 makes and servers take. It returns -1 when
// nothing waits for the reply.
func (q *queue) match(r *ftp.Reply) int {
	if len(q.waiting) == 0 {
		return -1
	}
	if head := &q.waiting[0]; head.started && head.verb.transfer && !endsTransfer(r.Code) {
		// STAT and NOOP in the middle of a transfer may be answered before its
		// end (RFC 959 §4.1.3 STAT; ProFTPD does so with NOOP).
		for i, x := range q.waiting {
			if x.verb != ours && !x.verb.transfer {
				return i
			}
		}
	}
	return 0
}

// endsTransfer tells the replies that RFC 959 §5.4 gives for the end of a
// transfer that has begun from those that only other commands get.
func endsTransfer(code int) bool {
	switch code / 100 {
	case 1, 4:
		return true
	case 2:
		return code == 225 || code == 226 || code == 250
	}
	return code >= 550
}

// settleAbort takes an ABOR for answered whose transfer has ended, once a reply
// of our own to a later command insists: there are servers that answer both in
// one, and a client that goes on has got what it waited for.
func (q *queue) settleAbort() {
	if len(q.waiting) > 1 && q.waiting[0].aborted && q.waiting[1].insists {
		q.pop(0)
		q.abortEcho = true
	}
}

// unused reports whether a waiting transfer holds a data connection that has
// not come yet: until it has, no further one is negotiated.
func (q *queue) unused() bool {
	return slices.ContainsFunc(q.waiting, func(x exchange) bool {
		return x.verb.transfer && x.data != nil && !x.data.used()
	})
}

// transferring reports whether a transfer command waits for its final reply.
func (q *queue) transferring() *exchange {
	for i := range q.waiting {
		if q.waiting[i].verb.transfer {
			return &q.waiting[i]
		}
	}
	return nil
}
