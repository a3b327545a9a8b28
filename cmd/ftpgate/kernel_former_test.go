//go:build kernel

package main

import (
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// TestReloadWithoutTheRule: a session goes on whose rule, port and interface
// are in the configuration no more; nobody else gets in by them, and with the
// session goes what carried it.
func TestReloadWithoutTheRule(t *testing.T) {
	eachVariant(t, lab.Options{}, func(t *testing.T, r *router) {
		inside := r.serve(peers.Vsftpd(), lab.Server, peers.ServerOptions{Passive: passiveRange})
		r.start(plain)
		outside := r.Host(lab.Outside)
		c := login(t, outside, "203.0.113.1:21", dialogue.Options{})
		r.reloadWith(t, `
interfaces: {lan: [lan0], wan: [wan1]}
log: {level: debug}
rules:
  - {name: elsewhere, direction: outbound, ports: [2222]}
`)
		for _, mode := range dialogue.Modes(false) {
			roundTrip(t, c, mode, inside)
		}
		if try(t, outside, mustAddrPort(t, "203.0.113.1:21")) {
			t.Error("the rule that was removed is in force")
		}
		carried := func() bool {
			state := r.state()
			return strings.Contains(state, "former configuration") && strings.Contains(state, "iif wan0")
		}
		if !carried() {
			t.Error("nothing carries the running session, so this test shows nothing")
		}
		r.quit(t, c)
		eventually(t, "the end of what carried the session", func() bool { return !carried() })
		r.stop()
	})
}
