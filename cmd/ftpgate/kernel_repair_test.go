//go:build kernel

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// TestRepair: what another program flushes is back within seconds, counted and
// logged.
func TestRepair(t *testing.T) {
	eachVariant(t, lab.Options{}, func(t *testing.T, r *router) {
		server := r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{})
		r.start(plain)
		iptables, ip6tables := fmt.Sprintf("iptables-%s", r.Variant()), fmt.Sprintf("ip6tables-%s", r.Variant())
		saved, healthy := r.run(iptables+"-save"), ours(r.state())
		damages := []damage{
			{"our ip rules removed", []string{"ip rule show | grep -i 0x46000000 | while IFS=: read prio rest; do ip rule del priority $prio; done"}},
			{"our route removed", []string{"ip route flush table $(ip rule show | sed -n 's/.*0x46000000.*lookup \\([0-9]*\\).*/\\1/p' | head -n 1)"}},
			{"a jump removed", []string{iptables + " -D FORWARD 1"}},
			{"a chain emptied", []string{iptables + " -F FTPGATE-FORWARD"}},
			{"iptables -F in every table", []string{iptables + " -F", iptables + " -t nat -F", iptables + " -t mangle -F", ip6tables + " -t nat -F"}},
			{"a reload of the firewall", []string{"grep -v FTPGATE <<'END' | " + iptables + "-restore\n" + saved + "\nEND"}},
		}
		for _, c := range append(damages, damagesOf[backend()](iptables)...) {
			t.Run(c.what, func(t *testing.T) {
				r := r.in(t)
				repairs := func() int { return strings.Count(r.daemon.Output(), ": repaired") }
				before := repairs()
				for _, command := range c.commands {
					r.run("sh", "-c", command)
				}
				if ours(r.state()) == healthy && repairs() == before { // what the kernel tells of is repaired at once
					t.Fatal("nothing was damaged, so this test shows nothing")
				}
				begin := time.Now()
				var now string
				eventually(t, "repair", func() bool {
					now = ours(r.state())
					return now == healthy || time.Since(begin) > patience-time.Second
				})
				if now != healthy {
					t.Fatalf("not repaired:\n%s", difference(healthy, now))
				}
				t.Logf("repaired after %s", time.Since(begin).Round(time.Millisecond))
			})
		}
		r.await("repaired")
		c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
		roundTrip(t, c, dialogue.PORT, server)
		r.stop()
	})
}

// TestAnotherTable: a table that is new on the host gets our lines, and nobody is blamed; who removes one of them is.
func TestAnotherTable(t *testing.T) {
	r := newRouter(t, lab.Options{})
	server := r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{})
	r.start(plain + "firewall: {backend: nftables}\n")
	r.run("nft", "table inet mine { chain forward { type filter hook forward priority 5; policy drop; ct state established accept; }; }")
	r.await("the host's own firewall rules have changed: ours fit them again")
	r.await("chain forward of table inet mine is new, or may drop now: it has our lines")
	c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
	roundTrip(t, c, dialogue.PORT, server)
	if n := r.metric(t, "ftpgate_repairs_total{what=\"rules\"}"); n != "0" || strings.Contains(r.daemon.Output(), "repaired") {
		t.Errorf("%q repairs after another table", n)
	}
	r.run("nft", "flush chain inet mine forward")
	r.await("chain forward of table inet mine: our line missing")
	eventually(t, "a repair", func() bool { return r.metric(t, "ftpgate_repairs_total{what=\"rules\"}") == "1" })
	r.stop()
}

// damage is what another program does to the rules.
type damage struct {
	what     string
	commands []string
}

// damagesOf are those that concern one backend.
var damagesOf = map[string]func(iptables string) []damage{
	"iptables": func(iptables string) []damage {
		return []damage{{"the take-over emptied", []string{iptables + " -t mangle -F FTPGATE-TPROXY"}}}
	},
	"nftables": func(string) []damage {
		return []damage{
			{"a table deleted", []string{"nft delete table ip ftpgate"}},
			{"tables emptied", []string{"nft flush table ip ftpgate", "nft flush table ip6 ftpgate"}},
			{"a set deleted", []string{"nft flush chain ip ftpgate data", "nft delete set ip ftpgate open"}},
			{"a foreign pinhole", []string{`nft 'add element ip ftpgate open { "wan0" . 203.0.113.66 . 203.0.113.1 . 50000 timeout 1h }'`}},
		}
	},
}

// ours are the lines of a router's state that the gateway has made.
func ours(state string) string {
	var lines []string // sorted: in which order chains were created again is no matter
	table := false     // of our own in nftables
	for line := range strings.Lines(state) {
		table = strings.HasPrefix(line, "table ip ftpgate ") || strings.HasPrefix(line, "table ip6 ftpgate ") || table && line != "}\n"
		if table || strings.Contains(line, "FTPGATE") || strings.Contains(line, "0x46000000") || strings.Contains(line, "local default dev lo") {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}
