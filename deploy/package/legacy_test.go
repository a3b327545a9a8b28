//go:build deploy

package packages

import (
	"io"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
)

// TestLegacy: on a router that filters with iptables-legacy, the daemon, which is not root, knows its tables, waits for
// the lock that all share, and holds it itself.
func TestLegacy(t *testing.T) {
	g := newGateway(t, lab.Options{Variant: lab.Legacy})
	g.install(g.new)
	rules := g.state()
	for _, firewall := range []string{"firewall: {backend: auto}", "firewall: {iptables: legacy}"} {
		t.Run(firewall, func(t *testing.T) {
			outer := g.t
			g.t = t
			defer func() { g.t = outer }()
			g.startsBehindTheLock(t, firewall)
			for _, mode := range dialogue.Modes(false) {
				g.roundTrip(g.login(lab.Client, "", "203.0.113.20:21"), mode, lab.Outside)
				g.roundTrip(g.login(lab.Outside, "", "203.0.113.1:21"), mode, lab.Server)
			}
			g.must("systemctl", "stop", "ftpgate.service")
			g.sameRules(t, rules)
		})
	}
}

// startsBehindTheLock holds the lock as another program of iptables would.
func (g *gateway) startsBehindTheLock(t *testing.T, firewall string) {
	holder := g.command(t.Context(), "flock", "/run/xtables.lock", "sh", "-c", "echo held; cat")
	release, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { release.Close(); holder.Wait() }()
	if _, err := io.ReadFull(said, make([]byte, len("held\n"))); err != nil {
		t.Fatal(err)
	}
	g.write("etc/ftpgate/ftpgate.yaml", strings.Replace(configuration, "%s", firewall, 1))
	g.must("systemctl", "start", "--no-block", "ftpgate.service")
	// Its iptables waits: the kernel lists who does, and for which file (proc_locks(5)).
	g.eventually(patience, "an iptables of the daemon that waits for the lock", func() bool {
		return strings.Contains(g.must("cat", "/proc/locks"), "-> FLOCK")
	})
	if state := g.property("ActiveState"); state != "activating" {
		t.Errorf("while another program holds the lock the unit is %s", state)
	}
	release.Close()
	holder.Wait()
	g.ready()
}
