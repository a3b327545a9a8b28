//go:build kernel

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// tracing is a running ftpgate trace.
type tracing struct {
	t       *testing.T
	process *lab.Process
	file    string // the packets
}

// trace starts ftpgate trace on the router, and waits until it watches.
func (r *router) trace(t *testing.T, args ...string) *tracing {
	t.Helper()
	tr := &tracing{t: t, file: filepath.Join(t.TempDir(), "trace.pcapng")}
	args = append([]string{"trace", "--interface", "lan0", "--interface", "wan0", "--write", tr.file}, args...)
	wishes := lab.StartOptions{Env: []string{"GORACE=atexit_sleep_ms=0"}}
	process, err := r.Host(lab.Router).StartWith(wishes, gatewayBinary, args...)
	if err != nil {
		t.Fatal(err)
	}
	tr.process = process
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("trace said:\n%s", process.Output())
		}
	})
	tr.await("watching lan0, wan0")
	return tr
}

// await waits for a text in the story.
func (tr *tracing) await(text string) {
	tr.t.Helper()
	ctx, cancel := context.WithTimeout(tr.t.Context(), patience)
	defer cancel()
	if err := tr.process.WaitOutput(ctx, text); err != nil {
		tr.t.Fatalf("waiting for %q in the story: %v", text, err)
	}
}

// stop ends the trace as Ctrl-C does, and returns the story.
func (tr *tracing) stop() string {
	tr.t.Helper()
	if err := tr.process.Signal(syscall.SIGINT); err != nil {
		tr.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tr.t.Context(), patience)
	defer cancel()
	if err := tr.process.Wait(ctx); err != nil {
		tr.t.Fatal(err)
	}
	return tr.process.Output()
}

func TestTrace(t *testing.T) {
	r := newRouter(t, lab.Options{})
	servers := map[string]*peers.Server{
		lab.Outside: r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{}),
		lab.Server:  r.serve(peers.Pyftpdlib(), lab.Server, peers.ServerOptions{}),
	}
	r.start(fmt.Sprintf(usualRules, "", ""))
	tr := r.trace(t)
	for _, f := range []flow{
		{client: lab.Client, dials: "203.0.113.20:21", server: lab.Outside},
		{client: lab.Outside, dials: "203.0.113.1:21", server: lab.Server},
	} {
		c := login(t, r.Host(f.client), f.dials, dialogue.Options{})
		for _, mode := range dialogue.Modes(false) {
			roundTrip(t, c, mode, servers[f.server])
		}
		if _, err := c.Want(221, "QUIT"); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	story := tr.stop()
	t.Log(story)
	t.Fail()
}
