package iptables

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ftpgate/ftpgate/firewall"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenFrame is a router with everything: LAN clients outbound, hairpin, an inbound server, a published network.
var goldenFrame = firewall.Frame{
	Mark: 0x46000000, PinholeMark: 0x47000000, Mask: 0xff000000,
	ListenPort: 2121,
	Takeovers: []firewall.Takeover{
		{Interface: "eth0", Port: 21, Scope: firewall.RoutedOnly},
		{Interface: "eth0", Port: 2100, Scope: firewall.LocalOnly},
		{Interface: "eth1", Port: 21, Scope: firewall.LocalOnly},
		{Interface: "eth1", Port: 21, Scope: firewall.Network, Network: netip.MustParsePrefix("203.0.113.20/32")},
		{Interface: "eth1", Port: 21, Scope: firewall.Network, Network: netip.MustParsePrefix("2001:db8:50::/64")},
	},
	Returns:     []firewall.Return{{Interface: "eth0", Port: 21}, {Interface: "eth1", Port: 21}},
	ServerPorts: []uint16{2100, 21, 21},
	Refused:     firewall.RefusedLog{Group: 7021, First: 50000, Last: 51999},
	Gateway:     firewall.Gateway{LAN: []string{"eth0"}, WAN: []string{"eth1"}, Forward: true, Masquerade: true},
	IPv4:        true, IPv6: true,
}

// goldenHoles are the four flows of the design, each with other addresses.
func goldenHoles(four bool) []firewall.Hole {
	pick := func(v4, v6 string) string {
		if four {
			return v4
		}
		return v6
	}
	client := pick("192.168.50.10", "fd50::10")
	router := pick("203.0.113.1", "2001:db8::1")
	remote := pick("198.51.100.7", "2001:db8:7::7")
	server := pick("192.168.50.20", "fd50::20")
	at := func(a string, p uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(a), p) }
	end := time.Date(2026, 11, 22, 21, 30, 59, 250e6, time.UTC)
	hole := func(id uint64, p firewall.Pinhole) firewall.Hole {
		p.Session = 4
		return firewall.Hole{Pinhole: p, ID: id, Expires: end.Add(time.Duration(id) * time.Second)}
	}
	return []firewall.Hole{
		hole(1, firewall.Pinhole{Interface: "eth1", Source: netip.MustParseAddr(remote), SourcePort: 20,
			Destination: at(router, 50001), Target: at(client, 40001)}), // outbound, active
		hole(2, firewall.Pinhole{Interface: "eth0", Source: netip.MustParseAddr(client),
			Destination: at(remote, 60002), SourceAs: netip.MustParseAddr(router)}), // outbound, passive
		hole(3, firewall.Pinhole{Interface: "eth0", Source: netip.MustParseAddr(client),
			Destination: at(router, 50003), Target: at(server, 30003), SourceAs: netip.MustParseAddr(router)}), // hairpin
		hole(4, firewall.Pinhole{Interface: "eth0", Source: netip.MustParseAddr(client), Destination: at(remote, 60004)}), // routed
		hole(5, firewall.Pinhole{Interface: "eth0", Source: netip.MustParseAddr(server),
			Destination: at(remote, 60005), SourceAs: netip.MustParseAddr(router), Mark: 0x2}), // inbound, active, by the second WAN
	}
}

// TestGolden shows an administrator every rule there is, as it is given to iptables.
func TestGolden(t *testing.T) {
	for _, four := range []bool{true, false} {
		family := "ipv6"
		if four {
			family = "ipv4"
		}
		m := marksOf(goldenFrame)
		var b strings.Builder
		for _, table := range static(goldenFrame, four, goldenFrame.Gateway.WAN) {
			b.WriteString(contents(table, nil, m, "run0"))
			for _, j := range table.jumps {
				f := goldenFamily(four)
				if j.late {
					fmt.Fprintf(&b, "# then, behind the host's own rules, iptables -t %s -A %s", table.name, j.from)
				} else {
					fmt.Fprintf(&b, "# then iptables -t %s -I %s 1", table.name, j.from)
				}
				for _, w := range f.jumpSpec(table.name, j) {
					b.WriteString(" " + quote(w))
				}
				b.WriteString("\n")
			}
			b.WriteString("\n")
		}
		compare(t, "static-"+family, b.String())

		holes := goldenHoles(four)
		compare(t, "pinholes-"+family, "# four pinholes are opened at once\n"+change(holes, nil, m, "run0")+
			"\n# the first is shut while the last is opened\n"+change(holes[3:], holes[:1], m, "run0")+
			"\n# all but the last are shut\n"+rewrite(holes[3:], m, "run0"))
	}
}

func goldenFamily(four bool) *family { return newFamily(four, Legacy, tools{}, "run0") }

func compare(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (go test -update writes it anew):\n%s", path, diff)
	}
}

// TestEveryRuleIsOurs: an administrator knows our rules by their comment, our chains by their name.
func TestEveryRuleIsOurs(t *testing.T) {
	m := marksOf(goldenFrame)
	for _, four := range []bool{true, false} {
		for _, table := range static(goldenFrame, four, nil) {
			for _, c := range table.chains {
				if !strings.HasPrefix(c.name, prefix) || len(c.name) > 28 {
					t.Errorf("chain %s", c.name)
				}
				for _, r := range c.rules {
					if !strings.HasPrefix(commentOf(r), owned) {
						t.Errorf("rule %q has no comment of ours", r)
					}
				}
			}
		}
		for _, h := range goldenHoles(four) {
			for _, r := range holeRules(h, m, "run0") {
				if !strings.HasPrefix(commentOf(r.spec), owned) {
					t.Errorf("rule %q has no comment of ours", r.spec)
				}
			}
		}
	}
}

func commentOf(s spec) string {
	if i := slices.Index(s, "--comment"); i >= 0 && i+1 < len(s) {
		return s[i+1]
	}
	return ""
}

// TestStop: the last second in which the kernel's rule matches, which it compares inclusively.
func TestStop(t *testing.T) {
	for expires, want := range map[string]string{
		"2026-11-22T21:30:59Z":           "2026-11-22T21:30:58",
		"2026-11-22T21:30:59.000000001Z": "2026-11-22T21:30:59",
		"2026-11-22T21:30:59.999Z":       "2026-11-22T21:30:59",
		"2027-01-01T01:00:00.5+01:00":    "2027-01-01T00:00:00",
	} {
		at, err := time.Parse(time.RFC3339Nano, expires)
		if err != nil {
			t.Fatal(err)
		}
		got := stop(firewall.Hole{Expires: at})
		if got.Format(stopLayout) != want {
			t.Errorf("%s: the last second is %s, want %s", expires, got.Format(stopLayout), want)
		}
		end := got.Add(time.Second)
		if end.Before(at) || end.Sub(at) >= time.Second {
			t.Errorf("%s: the rule ends at %s", expires, end)
		}
	}
}
