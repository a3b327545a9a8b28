//go:build kernel

package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// diagnosed waits for the diagnosis with a cause and wants its sentence.
func (r *router) diagnosed(t *testing.T, mark int, cause, sentence string) {
	t.Helper()
	var last string
	eventually(t, "the diagnosis "+cause, func() bool {
		for _, rec := range r.log.since(mark) {
			if rec.Cause == cause {
				last = rec.Why
				return true
			}
		}
		return false
	})
	if !strings.Contains(last, sentence) {
		t.Errorf("%s says %q instead of %q", cause, last, sentence)
	}
}

// TestDiagnosis: a data connection that does not come about is explained in one
// sentence, by what the host has really seen.
func TestDiagnosis(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{})
	r.serve(peers.Pyftpdlib(), lab.Server, peers.ServerOptions{})
	r.start(fmt.Sprintf(usualRules+"firewall: {pinhole_timeout: 3s}\n", "", ""))
	public := func(t *testing.T, c *dialogue.Client) (port uint16) {
		t.Helper()
		reply, err := c.Want(229, "EPSV")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscanf(reply.Text()[strings.Index(reply.Text(), "|||"):], "|||%d|", &port); err != nil {
			t.Fatal(err, reply)
		}
		return port
	}
	knock := func(t *testing.T, host, to string) {
		t.Helper()
		if out, err := r.Host(host).Run(t.Context(), "timeout", "1", "bash", "-c", "exec 3<>/dev/tcp/"+to); err == nil {
			t.Errorf("it was admitted: %s", out)
		}
	}
	for _, c := range []struct {
		cause, sentence string
		provoke         func(t *testing.T, r *router)
	}{
		{"never_connected", "The client never connected: a SYN from 203.0.113.20 to 203.0.113.1:", func(t *testing.T, r *router) {
			public(t, login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{}))
		}},
		{"from_elsewhere", "came from 203.0.113.66, but the client's control connection comes from 203.0.113.20", func(t *testing.T, r *router) {
			port := public(t, login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{}))
			knock(t, lab.Third, fmt.Sprintf("203.0.113.1/%d", port))
		}},
		{"rewritten_elsewhere", "Another device on the way rewrites too", func(t *testing.T, r *router) {
			port := public(t, login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{}))
			other := port + 1
			if other > 51999 {
				other = port - 1
			}
			knock(t, lab.Outside, fmt.Sprintf("203.0.113.1/%d", other))
		}},
		{"dropped", "came through the pinhole and was dropped on this host, at hook forward", func(t *testing.T, r *router) {
			port := public(t, login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{}))
			drop := []string{"FORWARD", "-s", "203.0.113.20", "-d", "192.168.50.20", "-p", "tcp", "!", "--dport", "21", "-j", "DROP"}
			program := "iptables-" + string(r.Variant())
			r.run(program, append([]string{"-I"}, drop...)...)
			defer r.run(program, append([]string{"-D"}, drop...)...)
			knock(t, lab.Outside, fmt.Sprintf("203.0.113.1/%d", port))
			eventually(t, "the end of the pinhole", func() bool { return len(r.causes("dropped")) > 0 })
		}},
		{"after_expiry", "after its pinhole had expired (firewall.pinhole_timeout)", func(t *testing.T, r *router) {
			mark := len(r.records())
			port := public(t, login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{}))
			r.diagnosed(t, mark, "never_connected", "never connected")
			knock(t, lab.Outside, fmt.Sprintf("203.0.113.1/%d", port))
		}},
		{"server_refused", `The server answered "550`, func(t *testing.T, r *router) {
			c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
			if _, err := c.Want(229, "EPSV"); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Want(550, "RETR missing"); err != nil {
				t.Fatal(err)
			}
		}},
		{"foreign_address", "The client announced an address that is not its own: client announced the foreign address 10.9.8.7", func(t *testing.T, r *router) {
			if _, err := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{}).Want(501, "PORT 10,9,8,7,200,1"); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.cause, func(t *testing.T) {
			r := r.in(t)
			mark := len(r.records())
			c.provoke(t, r)
			r.diagnosed(t, mark, c.cause, c.sentence)
		})
	}
	r.stop()
}

// causes are the records of one cause.
func (r *router) causes(cause string) (some []record) {
	for _, rec := range r.records() {
		if rec.Cause == cause {
			some = append(some, rec)
		}
	}
	return some
}
