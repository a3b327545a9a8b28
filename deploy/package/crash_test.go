//go:build deploy

package packages

import (
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
)

// TestPurgeAfterCrash: a daemon that was killed and does not come again has left rules, ip rules, routes and settings; a
// purge takes them as well, whatever the daemon had made of the host.
func TestPurgeAfterCrash(t *testing.T) {
	for _, backend := range []string{"nftables", "iptables"} {
		t.Run(backend, func(t *testing.T) {
			g := newGateway(t, lab.Options{Bare: true})
			g.isOnline(t)
			rules := g.state()
			g.install(g.new)
			files := g.files()
			g.must("ftpgate", "setup", "--yes", "--no-enable", "--router", "--publish", "192.168.50.20")
			g.must("sed", "-i", `s/^firewall:/&\n  backend: `+backend+"/", "/etc/ftpgate/ftpgate.yaml")
			g.must("systemctl", "start", "ftpgate.service")
			g.ready()
			c := g.login(lab.Client, "", "203.0.113.20:21")
			g.roundTrip(c, dialogue.PORT, lab.Outside)
			if d, err := c.Open(dialogue.PORT); err != nil { // a pinhole that waits
				t.Fatal(err)
			} else {
				defer d.Close()
			}
			if out, err := g.run("ftpgate", "run", "--sweep"); err == nil || !strings.Contains(out, "another ftpgate runs") {
				t.Errorf("beside a running daemon: %v, %s", err, out)
			}
			g.isKilledForGood(t)
			left := changedLines(rules, g.state())
			for _, want := range []string{"proto 70", "ip_forward", "nf_conntrack_acct", map[string]string{"nftables": "table ip ftpgate", "iptables": "FTPGATE-GATE"}[backend]} {
				if !strings.Contains(strings.ToLower(strings.Join(left, "\n")), strings.ToLower(want)) {
					t.Errorf("%s is not left, so this test shows nothing of it:\n%s", want, strings.Join(left, "\n"))
				}
			}
			g.must("dpkg", "--purge", "ftpgate")
			g.sameRules(t, rules)
			for name := range g.files() {
				if _, was := files[name]; !was || strings.Contains(name, "ftpgate") {
					t.Errorf("%s is left", name)
				}
			}
			if state := g.must("find", "/run", "-xdev", "-path", "*ftpgate*", "-not", "-path", "/run/systemd/*"); state != "" {
				t.Errorf("left in /run:\n%s", state)
			}
		})
	}
}

// isKilledForGood ends the daemon as the kernel does that is out of memory, and keeps systemd from starting another one.
func (g *gateway) isKilledForGood(t *testing.T) {
	t.Helper()
	pid := g.property("MainPID")
	g.must("systemctl", "mask", "--runtime", "ftpgate.service")
	g.must("kill", "-KILL", pid)
	g.eventually(patience, "a unit that has given up", func() bool {
		state := g.property("ActiveState")
		return g.property("MainPID") == "0" && (state == "failed" || state == "inactive")
	})
}
