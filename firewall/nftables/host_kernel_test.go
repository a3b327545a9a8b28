//go:build kernel

package nftables_test

import (
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/firewall/iptables"
	"github.com/ftpgate/ftpgate/firewall/nftables"
)

// TestProbe changes nothing, and finds what Install would find.
func TestProbe(t *testing.T) {
	inNamespace(t, func() {
		must(t, nftables.Probe(testFrame()))
		if left := sh(t, "nft list ruleset"); left != "" {
			t.Errorf("Probe left:\n%s", left)
		}
		crashed := backend(t)
		must(t, crashed.Install(testFrame()))
		before := sh(t, "nft -a list ruleset")
		must(t, nftables.Probe(testFrame()))
		if after := sh(t, "nft -a list ruleset"); after != before {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
	})
}

// TestPlaceOfLines: before what may drop, behind what only changes packets, and not where nothing is dropped.
func TestPlaceOfLines(t *testing.T) {
	const host = `
table inet a {
	map fates { type inet_service : verdict; }
	chain deep { tcp dport 1 reject; }
	chain harmless { tcp flags syn tcp option maxseg size set rt mtu; accept; }
	chain clamps { type filter hook forward priority mangle; tcp flags syn tcp option maxseg size set rt mtu; jump harmless; }
	chain drops { type filter hook forward priority filter; policy drop; tcp flags syn tcp option maxseg size set rt mtu; }
	chain closes { type filter hook forward priority 2; iifname "lan0" tcp dport 25 drop; counter log drop; counter; }
	chain jumps { type filter hook forward priority 1; counter; jump harmless; jump deep; accept; }
	chain asks { type filter hook input priority filter; iif lo accept; tcp dport vmap @fates; }
	chain sends { type filter hook output priority filter; policy drop; }
}
table ip filter { chain in { type filter hook input priority 5; policy accept; udp dport 9 drop; }; }
table ip6 filter { chain in { type filter hook input priority 5; policy accept; udp dport 9 drop; }; }
`
	const data = `ct mark 0x47000000/8 accept comment "ftpgate: data connections"`
	const taken = `meta mark 0x46000000/8 accept comment "ftpgate: control connections taken over"`
	const out = `meta nfproto ipv4 iifname . oifname { "lan0" . "wan0" } ct state established,related,new accept comment "ftpgate: the LAN opens connections to the WAN"`
	const back = `meta nfproto ipv4 iifname . oifname { "wan0" . "lan0" } ct state established,related accept comment "ftpgate: what belongs to connections of the LAN"`
	replies := func(family string) string {
		return family + `tcp sport { 21, 2100 } ct state established accept comment "ftpgate: replies of FTP servers"`
	}
	inNamespace(t, func() {
		sh(t, "nft -f - <<'END'\n"+host+"\nEND")
		b, f := backend(t), testFrame()
		f.IPv6 = false
		must(t, b.Install(f))
		for chain, want := range map[string][]string{
			"inet a clamps": {"tcp flags syn tcp option maxseg size set rt mtu", "jump harmless"},
			"inet a drops":  {"tcp flags syn tcp option maxseg size set rt mtu", data, out, back},
			"inet a closes": {data, `iifname "lan0" tcp dport 25 drop`, out, back, "counter log drop", "counter"},
			"inet a jumps":  {"counter", "jump harmless", data, "jump deep", "accept", out, back},
			"inet a asks":   {`iif "lo" accept`, taken, data, replies("meta nfproto ipv4 "), "tcp dport vmap @fates"},
			"inet a sends":  nil,
			"ip filter in":  {taken, data, replies(""), "udp dport 9 drop"},
			"ip6 filter in": {"udp dport 9 drop"}, // a family that is not touched
		} {
			if is := rulesOf(t, chain); strings.Join(is, "\n") != strings.Join(want, "\n") {
				t.Errorf("chain %s:\n%s\nwant:\n%s", chain, strings.Join(is, "\n"), strings.Join(want, "\n"))
			}
		}
		must(t, b.Remove())
		if left := sh(t, "nft list ruleset"); strings.Contains(left, "ftpgate") {
			t.Errorf("left:\n%s", left)
		}
	})
}

// TestHostFirst: a rule that the host adds later comes before the lines of the gateway, which admit more than our own
// connections.
func TestHostFirst(t *testing.T) {
	inNamespace(t, func() {
		sh(t, "nft 'table inet a { chain f { type filter hook forward priority 0; policy drop; }; }'")
		b := backend(t)
		must(t, b.Install(testFrame()))
		sh(t, "nft add rule inet a f iifname lan0 tcp dport 25 drop")
		found, err := b.Verify(nil)
		must(t, err)
		if rules := rulesOf(t, "inet a f"); len(found.Followed) != 1 || len(found.Repaired) > 0 || len(rules) != 4 || !strings.Contains(rules[1], "dport 25 drop") {
			t.Errorf("found %q:\n%s", found, strings.Join(rules, "\n"))
		}
		if found, err = b.Verify(nil); err != nil || found.Any() {
			t.Errorf("and again: %q, %v", found, err)
		}
		must(t, b.Remove())
	})
}

// TestExposed: the guard is there as long as the host's own rules leave the WAN open, whichever program writes them.
func TestExposed(t *testing.T) {
	for _, closing := range []string{
		"nft 'table inet a { chain f { type filter hook forward priority 0; policy drop; }; }'",
		"nft 'table inet a { chain f { type filter hook forward priority 0; ct state established accept; counter reject; }; }'",
		`nft 'table inet a { chain f { type filter hook forward priority 0; jump w; }; chain w { iifname "wan0" goto x; }; chain x { tcp dport 443 accept; drop; }; }'`,
		"iptables-nft -P FORWARD DROP; ip6tables-nft -P FORWARD DROP",
		"for i in iptables-nft ip6tables-nft; do $i -A FORWARD -o wan0 -j ACCEPT; $i -A FORWARD -j REJECT; done",
		"for i in iptables-legacy ip6tables-legacy; do $i -A FORWARD -i wan0 -p tcp --dport 443 -j ACCEPT; $i -A FORWARD -i wan0 -j DROP; done",
	} {
		t.Run(closing, func(t *testing.T) {
			inNamespace(t, func() {
				sh(t, `nft 'table inet open { chain f { type filter hook forward priority 0; iifname "wan1" drop; iifname "wan*" tcp dport 1 drop; accept; drop; }; }'`)
				b := backend(t)
				must(t, b.Install(testFrame()))
				guards := func() int {
					return strings.Count(sh(t, "nft list ruleset"), "nobody has admitted it")
				}
				if n := guards(); n != 2 {
					t.Errorf("%d guards on an open host", n)
				}
				sh(t, closing)
				found, err := b.Verify(nil)
				must(t, err)
				if n := guards(); n != 0 || len(found.Followed) == 0 {
					t.Errorf("%d guards on a closed host; found %q", n, found)
				}
				if found, err = b.Verify(nil); err != nil || found.Any() {
					t.Errorf("and again: %q, %v", found, err)
				}
				must(t, b.Install(testFrame()))
				if n := guards(); n != 0 {
					t.Errorf("%d guards after another Install", n)
				}
				f := testFrame()
				f.Gateway = firewall.Gateway{}
				must(t, b.Install(f))
				if rules := sh(t, "nft list ruleset"); strings.Contains(rules, "masqueraded {") || strings.Contains(rules, "guard {") {
					t.Errorf("without a gateway:\n%s", rules)
				}
				must(t, b.Install(testFrame()))
				if found, err = b.Verify(nil); err != nil || found.Any() {
					t.Errorf("with a gateway again: %q, %v", found, err)
				}
				must(t, b.Remove())
			})
		})
	}
}

// rulesOf are the rules of a chain as nft shows them, without counters.
func rulesOf(t *testing.T, chain string) (rules []string) {
	t.Helper()
	for line := range strings.Lines(sh(t, "nft -s list chain "+chain)) {
		line = strings.TrimSpace(line)
		if line != "}" && !strings.HasSuffix(line, "{") && !strings.HasPrefix(line, "type ") {
			rules = append(rules, line)
		}
	}
	return rules
}

// TestOwnedTable: what nobody else may change is said, by Install and before.
func TestOwnedTable(t *testing.T) {
	inNamespace(t, func() {
		own(t, "policy drop;")
		before := sh(t, "nft list ruleset")
		b := backend(t)
		for _, err := range []error{nftables.Probe(testFrame()), b.Install(testFrame())} {
			if !errors.Is(err, nftables.ErrOwned) || !strings.Contains(err.Error(), "chain forward of table inet firewalld") {
				t.Errorf("with a table that is owned: %v", err)
			}
		}
		must(t, b.Remove())
		if after := sh(t, "nft list ruleset"); after != before {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
	})
}

// TestOwnedLater: where our lines cannot be put in place any more, nothing opens, however often it is asked; what is open can be shut.
func TestOwnedLater(t *testing.T) {
	inNamespace(t, func() {
		b := backend(t)
		must(t, b.Install(testFrame()))
		open := []firewall.Hole{testHole(1)}
		must(t, b.Apply(open, nil))
		own(t, "drop;")
		for range 3 {
			if err := b.Apply([]firewall.Hole{testHole(2)}, nil); !errors.Is(err, firewall.ErrChanged) {
				t.Errorf("opening: %v", err)
			}
			if _, err := b.Verify(open); !errors.Is(err, nftables.ErrOwned) {
				t.Errorf("looking: %v", err)
			}
		}
		must(t, b.Apply(nil, open))
		if shown := sh(t, "nft list set ip ftpgate open"); strings.Contains(shown, "ftpgate 1 ") || strings.Contains(shown, "ftpgate 2 ") {
			t.Error(shown)
		}
		must(t, b.Remove())
	})
}

// TestOwnedHarmless: an owned table that drops nothing is in nobody's way.
func TestOwnedHarmless(t *testing.T) {
	inNamespace(t, func() {
		own(t, "policy accept; counter;")
		b := backend(t)
		must(t, b.Install(testFrame()))
		must(t, b.Remove())
	})
}

// own makes a table as newer versions of firewalld do: it belongs to the process that made it, while that runs.
func own(t *testing.T, forward string) {
	t.Helper()
	nft := exec.Command("nft", "-i")
	in, err := nft.StdinPipe()
	must(t, err)
	must(t, nft.Start())
	t.Cleanup(func() {
		in.Close()
		nft.Wait()
	})
	_, err = io.WriteString(in, "table inet firewalld { flags owner; chain forward { type filter hook forward priority 10; "+forward+" }; }\n")
	must(t, err)
	for end := time.Now().Add(5 * time.Second); !strings.Contains(sh(t, "nft list tables"), "firewalld"); {
		if time.Now().After(end) {
			t.Fatal("nft made no table")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestLeftovers, of the iptables backend and our own: the daemon was killed, and another backend is chosen.
func TestLeftovers(t *testing.T) {
	inNamespace(t, func() {
		sh(t, "iptables-nft -P FORWARD DROP; nft 'table inet host { chain f { type filter hook forward priority 0; policy drop; }; }'")
		before := sh(t, "nft list ruleset")
		crashed, err := iptables.New(iptables.Options{Variant: iptables.NFT})
		must(t, err)
		must(t, crashed.Install(testFrame()))
		b := backend(t)
		must(t, b.Install(testFrame()))
		if left := sh(t, "iptables-nft-save -t nat"); strings.Contains(left, "FTPGATE") {
			t.Errorf("left of iptables:\n%s", left)
		}
		must(t, b.Apply([]firewall.Hole{testHole(1)}, nil))
		must(t, nftables.Clean())
		must(t, iptables.Clean())
		if after := sh(t, "nft list ruleset"); after != before {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
	})
}
