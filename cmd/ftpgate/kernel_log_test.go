//go:build kernel

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
)

// record is one line of the gateway's log.
type record struct {
	Level, Message          string
	Session                 uint64
	Client, Server, Dialled string
	SeenAs                  string `json:"seen_as"`
	Rule, User, Verb, Why   string
	Said, Sent, Cause       string
	Code, Transfers, Failed int
	Bytes                   uint64
}

const (
	begun     = "session started"
	finished  = "session ended"
	announces = "data address announced"
	refuses   = "refused"
)

// journal is the log of a gateway. It reads each line once, when it is written.
type journal struct {
	mu      sync.Mutex
	partial []byte // the beginning of a line
	all     []record
}

// Write never fails; lines that are no JSON are left out.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.partial = append(j.partial, p...)
	for {
		line, rest, whole := bytes.Cut(j.partial, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		var rec record
		if json.Unmarshal(line, &rec) == nil {
			j.all = append(j.all, rec)
		}
		j.partial = rest
	}
}

// since leaves out the first records, which the caller knows already. The rest
// is not to be changed.
func (j *journal) since(mark int) []record {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.all[mark:len(j.all):len(j.all)]
}

// records are what the gateway has logged since its start.
func (r *router) records() []record { return r.log.since(0) }

// of selects the records of one message.
func of(all []record, message string) []record {
	var some []record
	for _, rec := range all {
		if rec.Message == message {
			some = append(some, rec)
		}
	}
	return some
}

// ofSession selects the records of one session.
func ofSession(all []record, session uint64) []record {
	var some []record
	for _, rec := range all {
		if rec.Session == session {
			some = append(some, rec)
		}
	}
	return some
}

// sessionOf is the session whose client dialled from that address and port.
func (r *router) sessionOf(t *testing.T, client netip.AddrPort) uint64 {
	t.Helper()
	var session uint64
	eventually(t, fmt.Sprintf("the beginning of the session of %s", client), func() bool {
		for _, rec := range of(r.records(), begun) {
			if rec.Client == client.String() {
				session = rec.Session
			}
		}
		return session != 0
	})
	return session
}

// ended waits for the last line of a session.
func (r *router) ended(t *testing.T, session uint64) record {
	t.Helper()
	var last record
	eventually(t, "the end of the session", func() bool {
		for _, rec := range of(ofSession(r.records(), session), finished) {
			last = rec
		}
		return last.Message != ""
	})
	return last
}

// quit ends a session and waits until the gateway has logged it.
func (r *router) quit(t *testing.T, c *dialogue.Client) record {
	t.Helper()
	if err := leave(c); err != nil {
		t.Fatal(err)
	}
	c.Close()
	return r.ended(t, r.sessionOf(t, c.Local()))
}

// about says whether a count of bytes is what it should be within 2 %: what
// conntrack counts are packets, from which the payload is reckoned. Segments
// that the hosts have sent again since the given moment passed twice.
func (r *router) about(t *testing.T, got, want, sentAgain uint64) bool {
	t.Helper()
	const segment = 1460 // bytes of payload, at most
	return got >= want-want/50 && got <= want+want/50+(r.sentAgain(t)-sentAgain)*segment
}

// sentAgain counts what the hosts beside the router have had to send twice.
func (r *router) sentAgain(t *testing.T) (segments uint64) {
	t.Helper()
	for _, name := range []string{lab.Client, lab.Server, lab.Outside} {
		n, err := r.Host(name).SentAgain()
		if err != nil {
			t.Fatal(err)
		}
		segments += n
	}
	return segments
}
