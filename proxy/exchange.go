package proxy

import (
	"github.com/ftpgate/ftpgate/proxy/ftp"
)

// maxPending bounds the commands of one session that wait for their reply.
// Past it the gateway stops reading the client until the server catches up.
const maxPending = 32

// exchange is one command under way: pushed when the command leaves for the
// server, done when its final reply has left for the client. A reply means
// something only as the answer to the exchange at the head of the queue.
type exchange struct {
	verb    *verb
	arg     string   // kept only by verbs whose reply handler wants it
	data    *channel // of a transfer: its data connection; of PORT and EPRT: the one they announce
	ours    string   // a reply of the gateway's own that waits for its turn; no server is asked
	started bool     // a 1yz has been seen
	aborted bool     // of ABOR: 426 has been seen, 226 may follow
}

// queue is the order in which a session's replies are due. It is guarded by
// session.mu; only the reader of replies pops it.
type queue struct {
	waiting   []exchange
	unsettled int  // waiting exchanges whose reply decides what a data command means
	abortEcho bool // an ABOR was answered: one more 225 or 226 may come (RFC 959 §4.1.3, two replies)
}

func (q *queue) push(x exchange) {
	q.waiting = append(q.waiting, x)
	if x.verb != nil && x.verb.settles {
		q.unsettled++
	}
}

func (q *queue) pop(i int) {
	if v := q.waiting[i].verb; v != nil && v.settles {
		q.unsettled--
	}
	q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
	if len(q.waiting) == 0 && cap(q.waiting) > 4 {
		q.waiting = nil // a burst must not weigh on an idle session
	}
}

// match finds the exchange that a reply answers: the head of the queue, with
// two exceptions that RFC 959 makes. It returns -1 when nothing waits for it.
func (q *queue) match(r *ftp.Reply) int {
	if len(q.waiting) == 0 {
		return -1
	}
	head := &q.waiting[0]
	if head.aborted && r.Code != 225 && r.Code != 226 {
		// 426 was all that this server says to an ABOR.
		q.pop(0)
		return q.match(r)
	}
	if head.started && head.verb.transfer && r.Code >= 211 && r.Code <= 213 {
		// STAT in the middle of a transfer is answered before its end (RFC 959 §4.1.3).
		for i := range q.waiting {
			if v := q.waiting[i].verb; v != nil && v.name == "STAT" {
				return i
			}
		}
	}
	return 0
}

// transferring reports whether a transfer command waits for its final reply.
func (q *queue) transferring() *exchange {
	for i := range q.waiting {
		if v := q.waiting[i].verb; v != nil && v.transfer {
			return &q.waiting[i]
		}
	}
	return nil
}
