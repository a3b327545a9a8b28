//go:build kernel

package main

import (
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// TestSweep: what a killed gateway has left is gone by run --sweep; beside one that runs
// it touches nothing, and on a host without a trace of us it does nothing.
func TestSweep(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{})
	if err := r.Host(lab.Router).SetSysctl("net.ipv4.ip_forward", "0"); err != nil {
		t.Fatal(err)
	}
	before := r.state()
	sweep := func() (string, error) {
		return r.Host(lab.Router).Run(t.Context(), gatewayBinary, "run", "--sweep")
	}
	if out, err := sweep(); err != nil || r.state() != before {
		t.Fatalf("on a clean host: %v: %s%s", err, out, difference(before, r.state()))
	}
	config := plain + "firewall: {forwarding: true, masquerade: true}\n"
	r.start(config)
	c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
	if _, err := c.Want(227, "PASV"); err != nil { // stays open, unused
		t.Fatal(err)
	}
	if out, err := sweep(); err == nil || !strings.Contains(out, "another ftpgate runs") || r.gates() == "" {
		t.Errorf("beside one that runs: %v: %s", err, out)
	}
	r.daemon.Kill()
	if r.state() == before {
		t.Fatal("nothing is left, so this test shows nothing")
	}
	if out, err := sweep(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if after := r.state(); after != before {
		t.Errorf("left:\n%s", difference(before, after))
	}
}
