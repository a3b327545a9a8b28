//go:build kernel

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
	"github.com/ftpgate/ftpgate/proxy/status"
)

// greeting dials and returns the first reply, which may refuse.
func greeting(t *testing.T, from *lab.Host, target string) (dialogue.Reply, time.Duration) {
	t.Helper()
	begin := time.Now()
	c, err := dialogue.Dial(t.Context(), from, mustAddrPort(t, target), dialogue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.Greeting, time.Since(begin)
}

// TestFailureIsAnAnswer: what cannot be had is answered with the code of the
// RFC, logged with its reason, and hurts nobody else.
func TestFailureIsAnAnswer(t *testing.T) {
	r := newRouter(t, lab.Options{})
	server := r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{})
	client := r.Host(lab.Client)
	refused := func(t *testing.T, r *router, target, why string, within time.Duration) {
		t.Helper()
		reply, took := greeting(t, client, target)
		if reply.Code != 421 || len(reply.Text()) < 10 || took > within {
			t.Errorf("got %q after %s", reply, took)
		}
		r.await(why)
	}
	const rules = `
interfaces: {lan: [lan0], wan: [wan0]}
data_ports: 50000-50000
rules:
  - {name: out, direction: outbound, clients: [192.168.50.10], servers: [203.0.113.0/24, 192.0.2.0/24], timeouts: {connect: 2s}, limits: {sessions_per_client: 3}}
`
	r.start(rules)
	witness := login(t, client, "203.0.113.20:21", dialogue.Options{})
	for name, c := range map[string]struct {
		target, why string
		within      time.Duration
	}{
		"a server that refuses":        {"203.0.113.66:21", "connection refused", time.Second},
		"a server that does not exist": {"203.0.113.99:21", "203.0.113.99", 4 * time.Second},
		"a server of no rule":          {"198.51.100.1:21", "no rule for an outbound connection from 192.168.50.10 to 198.51.100.1:21", time.Second},
	} {
		t.Run(name, func(t *testing.T) { refused(t, r.in(t), c.target, c.why, c.within) })
	}
	t.Run("a client of no rule", func(t *testing.T) {
		r := r.in(t)
		reply, _ := greeting(t, r.Host(lab.Server), "203.0.113.20:21")
		if reply.Code != 421 {
			t.Errorf("got %q", reply)
		}
		r.await("from 192.168.50.20")
	})
	t.Run("past the rules", func(t *testing.T) {
		if reply, _ := greeting(t, r.Host(lab.Router), "127.0.0.1:2121"); reply.Code != 421 {
			t.Errorf("got %q", reply)
		}
		r.in(t).turnedAway(t, "127.0.0.1", "", "unknown_way", 1, "It came by a way that the configuration does not name: the listener was dialled directly")
	})
	t.Run("no free port", func(t *testing.T) {
		r := r.in(t)
		second := login(t, client, "203.0.113.20:21", dialogue.Options{})
		first, err := second.Open(dialogue.PORT)
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		if _, err := witness.Want(425, "PORT 192,168,50,10,200,1"); err != nil {
			t.Error(err)
		}
		r.await("no public port is free")
		t.Run("too many sessions of one client", func(t *testing.T) {
			third := login(t, client, "203.0.113.20:21", dialogue.Options{})
			defer third.Close()
			refused(t, r.in(t), "203.0.113.20:21", "limits.sessions_per_client is reached", time.Second)
		})
		second.Close()
	})
	eventually(t, "the port's return", func() bool {
		d, err := witness.Open(dialogue.PORT)
		if err == nil {
			d.Close()
		}
		return err == nil
	})
	roundTrip(t, witness, dialogue.PASV, server)
	r.turnedAway(t, "192.168.50.10", "out", "server_unreachable", 2, "The server cannot be reached from this router: ")
	r.turnedAway(t, "192.168.50.10", "", "no_rule", 1, "There is no rule for an outbound connection from 192.168.50.10 to 198.51.100.1:21")
	r.turnedAway(t, "192.168.50.20", "", "no_rule", 1, "from 192.168.50.20 to 203.0.113.20:21")
	r.turnedAway(t, "192.168.50.10", "out", "session_limit", 1, "limits.sessions_per_client is reached")
	r.stop()
}

// turnedAway wants the endpoint and the command to tell of connections that got
// no session, and that no transfer is blamed for them.
func (r *router) turnedAway(t *testing.T, client, rule, reason string, count uint64, why string) {
	t.Helper()
	all := read[status.StatusJSON](t, r, "/api/v1/status").TurnedAway
	if !slices.ContainsFunc(all, func(v status.AwayJSON) bool {
		return v.Client == client && v.Rule == rule && v.Reason == reason && v.Count == count && strings.Contains(v.Diagnosis, why) && strings.HasPrefix(v.Reply, "421 ")
	}) {
		t.Errorf("the API does not tell of %s: %+v", reason, all)
	}
	if out := r.run(gatewayBinary, "status", "--config", r.config); !strings.Contains(out, why) || !strings.Contains(out, reason) {
		t.Errorf("ftpgate status does not tell of %q: %s", why, out)
	}
	for _, v := range read[status.TransfersJSON](t, r, "/api/v1/transfers?failed=true").Transfers {
		if v.Client == client && v.Verb == "" {
			t.Errorf("it is among the transfers: %+v", v)
		}
	}
}

// TestFailedTransaction: a packet filter that does not take a rule is a 425;
// the session lives, and the next pinhole opens.
func TestFailedTransaction(t *testing.T) {
	eachVariant(t, lab.Options{}, func(t *testing.T, r *router) {
		server := r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{})
		fail, mend := r.obstacle()
		r.start(plain)
		c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
		roundTrip(t, c, dialogue.PASV, server)
		said := fail()
		for _, line := range []string{"PASV", "PORT 192,168,50,10,200,1"} {
			if _, err := c.Want(425, line); err != nil {
				t.Error(err)
			}
		}
		r.await(said)
		mend()
		roundTrip(t, c, dialogue.PORT, server)
		r.stop()
	})
}

// obstacle makes the packet filter of a daemon that is started afterwards fail
// from one moment, with the words of fail, to another.
func (r *router) obstacle() (fail func() string, mend func()) {
	if backend() == "nftables" {
		return r.foreignTable()
	}
	// A restore program that fails as long as a file exists, before the real one.
	dir := r.t.TempDir()
	name, mark := fmt.Sprintf("iptables-%s-restore", r.Variant()), filepath.Join(dir, "fail")
	script := fmt.Sprintf("#!/bin/sh\nif [ -e %s ]; then echo 'line 2 failed' >&2; exit 1; fi\nexec /usr/sbin/%s \"$@\"\n", mark, name)
	r.must(os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
	r.env = []string{"PATH=" + dir + ":/usr/sbin:/usr/bin:/sbin:/bin"}
	return func() string {
		r.must(os.WriteFile(mark, nil, 0o600))
		return "line 2 failed"
	}, func() { r.must(os.Remove(mark)) }
}

// foreignTable is a table of our name that another program owns.
func (r *router) foreignTable() (fail func() string, mend func()) {
	var owner *lab.Process
	return func() string {
			var err error
			owner, err = r.Host(lab.Router).Start("sh", "-c",
				"(echo 'delete table ip ftpgate; add table ip ftpgate { flags owner; }'; sleep 600) | nft -i")
			r.must(err)
			eventually(r.t, "the owned table", func() bool { return strings.Contains(r.run("nft", "list", "ruleset"), "flags owner") })
			return "operation not permitted"
		}, func() {
			owner.Kill()
			eventually(r.t, "the repair", func() bool { return strings.Contains(r.run("nft", "list", "ruleset"), "@open goto admitted") })
		}
}

func (r *router) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// TestLongTransfer: the control connection may idle while its transfer runs,
// and a transfer that does not move is cut.
func TestLongTransfer(t *testing.T) {
	r := newRouter(t, lab.Options{})
	server := r.serve(peers.ProFTPD(), lab.Outside, peers.ServerOptions{})
	content := random(12 << 20)
	if err := server.WriteFile("big", content); err != nil {
		t.Fatal(err)
	}
	r.start(fmt.Sprintf(usualRules, ", timeouts: {idle: 2s}", ""))
	c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
	transfer, err := retrieve(c, "big", func(conn net.Conn, seen io.Writer) (n int64, err error) {
		for n < int64(len(content)) { // 2 MB a second: the control connection idles for 6 s
			m, err := io.CopyN(seen, conn, 200<<10)
			n += m
			if errors.Is(err, io.EOF) {
				return n, nil
			}
			if err != nil {
				return n, err
			}
			time.Sleep(100 * time.Millisecond)
		}
		return n, nil
	})
	if err != nil || transfer.Bytes != int64(len(content)) || transfer.Took < 5*time.Second {
		t.Fatalf("%d bytes of %d in %s: %v", transfer.Bytes, len(content), transfer.Took, err)
	}
	eventually(t, "the end of the idle session", func() bool { return strings.Contains(r.daemon.Output(), "idle for 2s") })

	r.stop()
	r.start(fmt.Sprintf(usualRules, ", timeouts: {idle: 2s, data_idle: 3s}", ""))
	c = login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
	_, err = retrieve(c, "big", func(conn net.Conn, seen io.Writer) (int64, error) {
		n, err := io.CopyN(seen, conn, 100<<10)
		if err == nil {
			r.await("a stalled data connection was cut") // reads no more: nothing moves
			err = errStalled
		}
		return n, err
	})
	if !errors.Is(err, errStalled) {
		t.Error(err)
	}
	eventually(t, "the end of the stalled session", func() bool { return strings.Contains(r.daemon.Output(), "stalled data connection was cut\",\"user") })
	r.stop()
}

var errStalled = errors.New("stalled")

func retrieve(c *dialogue.Client, name string, carry dialogue.Carry) (dialogue.Transfer, error) {
	return c.Transfer(dialogue.PASV, "RETR "+name, carry)
}
