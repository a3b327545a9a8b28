//go:build kernel

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// TestPinholeExpires: who comes too late finds the door shut, and the rule
// gone; a transfer after that is a 425 (V31).
func TestPinholeExpires(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.serve(peers.Vsftpd(), lab.Server, peers.ServerOptions{})
	r.start(plain + "firewall: {pinhole_timeout: 2s}\n")
	c := login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{})
	d, err := c.Open(dialogue.PASV)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2500 * time.Millisecond)
	if try(t, r.Host(lab.Outside), d.Announced) {
		t.Error("the pinhole is open after its life")
	}
	eventually(t, "the rule's end", func() bool { return r.gates() == "" })
	r.await("a transfer did not happen")
	if _, err := c.Want(425, "RETR f"); err != nil {
		t.Error(err)
	}
	if _, err := c.Want(200, "NOOP"); err != nil {
		t.Errorf("the session does not live on: %v", err)
	}
	r.stop()
}

// TestResetRevokes: a control connection that is reset takes its pinhole with
// it at once (V32).
func TestResetRevokes(t *testing.T) {
	eachVariant(t, lab.Options{}, func(t *testing.T, r *router) {
		r.serve(peers.Vsftpd(), lab.Server, peers.ServerOptions{})
		r.start(plain)
		c := login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{})
		d, err := c.Open(dialogue.PASV)
		if err != nil {
			t.Fatal(err)
		}
		rule := gateOf(d.Announced.Port())
		if !strings.Contains(r.gates(), rule) {
			t.Fatalf("there is no rule with %q, so this test shows nothing", rule)
		}
		c.Conn().SetLinger(0) // close becomes a reset
		c.Close()
		begin := time.Now()
		eventually(t, "the rule's end", func() bool { return !strings.Contains(r.gates(), rule) })
		t.Logf("revoked after %s", time.Since(begin).Round(time.Millisecond))
		if try(t, r.Host(lab.Outside), d.Announced) {
			t.Error("the pinhole outlived its control connection")
		}
		r.stop()
	})
}

// TestBareHost: where there were no rules at all, there are none afterwards,
// nor the empty tables that iptables-nft makes on the way.
func TestBareHost(t *testing.T) {
	r := newRouter(t, lab.Options{NoUserRules: true, NoMasquerade: true, Filter: lab.FilterOpen})
	r.run("nft", "flush", "ruleset")
	server := r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{})
	before := r.state()
	r.start(plain + "firewall: {iptables: nft}\n")
	c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
	roundTrip(t, c, dialogue.PORT, server)
	r.daemon.Kill()
	r.start(plain + "firewall: {iptables: nft}\n")
	r.stop()
	if after := r.state(); after != before {
		t.Errorf("traces are left:\n%s", difference(before, after))
	}
}
