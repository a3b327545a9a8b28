package setup

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/configs"
)

func device(name string, up, way bool, addresses ...string) Interface {
	i := Interface{Name: name, Up: up, DefaultRoute: way}
	for _, a := range addresses {
		i.Addresses = append(i.Addresses, netip.MustParsePrefix(a))
	}
	return i
}

// TestSides: which interface is which, on the hosts that there are.
func TestSides(t *testing.T) {
	lan, wan := device("eth0", true, false, "192.168.50.1/24", "fd50::1/64"), device("eth1", true, true, "203.0.113.1/24")
	for _, c := range []struct {
		name     string
		host     []Interface
		said     Sides
		lan, wan string
		err      string
	}{
		{name: "two NICs", host: []Interface{lan, wan}, lan: "eth0", wan: "eth1"},
		{name: "behind another router", host: []Interface{lan, device("eth1", true, true, "10.0.0.5/24")}, lan: "eth0", wan: "eth1"},
		{name: "PPP", host: []Interface{lan, device("eth1", true, false), device("ppp0", true, true, "198.51.100.7/32")}, lan: "eth0", wan: "ppp0"},
		{name: "two LANs, two WANs", host: []Interface{lan, device("vlan20", true, false, "10.20.0.1/24"), wan, device("wwan0", true, true, "100.64.3.4/30")},
			err: "default routes leave by eth1 and wwan0, so the WAN side cannot be told: name it with --wan"},
		{name: "two LANs", host: []Interface{lan, device("vlan20", true, false, "10.20.0.1/24"), wan},
			err: "eth0 and vlan20 are up with private addresses, so the LAN side cannot be told: name it with --lan"},
		{name: "two WANs said", host: []Interface{lan, wan, device("wwan0", true, true, "100.64.3.4/30")}, said: Sides{WAN: []string{"eth1", "wwan0"}},
			lan: "eth0", wan: "eth1 wwan0"},
		{name: "guests of the host", host: []Interface{lan, wan, device("docker0", true, false, "172.17.0.1/16"), device("br-0123456789ab", true, false, "172.18.0.1/16"),
			device("virbr0", true, false, "192.168.122.1/24"), device("veth12ab", true, false, "10.9.9.1/24")}, lan: "eth0", wan: "eth1"},
		{name: "a LAN with a public address as well", host: []Interface{device("eth0", true, false, "192.168.50.1/24", "2001:db8:50::1/64"), wan}, lan: "eth0", wan: "eth1"},
		{name: "public addresses alone", host: []Interface{device("eth0", true, false, "198.51.100.1/24", "2001:db8:50::1/64"), wan},
			err: "the LAN side cannot be told: name it with --lan, once for each interface\n  eth0 (up) 198.51.100.1/24 2001:db8:50::1/64\n  eth1 (up, default route)"},
		{name: "no default route", host: []Interface{lan}, err: "no default route leaves by any interface"},
		{name: "a LAN that is down", host: []Interface{device("eth0", false, false, "192.168.50.1/24"), wan}, err: "eth0 (down)"},
		{name: "said", host: []Interface{lan, wan}, said: Sides{LAN: []string{"eth1"}, WAN: []string{"eth0"}}, lan: "eth1", wan: "eth0"},
		{name: "half said", host: []Interface{lan, wan, device("eth2", true, false, "10.0.0.1/8")}, said: Sides{LAN: []string{"eth2"}}, lan: "eth2", wan: "eth1"},
		{name: "the WAN said, without a route", host: []Interface{lan, device("ppp0", false, false)}, said: Sides{WAN: []string{"ppp0"}}, lan: "eth0", wan: "ppp0"},
		{name: "said wrongly", host: []Interface{lan, wan}, said: Sides{LAN: []string{"eth9"}}, err: "there is no interface eth9"},
		{name: "both sides", host: []Interface{lan, wan}, said: Sides{LAN: []string{"eth1"}, WAN: []string{"eth1"}}, err: "eth1 cannot be on both sides"},
	} {
		got, err := Complete(c.said, c.host)
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, not %q", c.name, err, c.err)
			}
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		case strings.Join(got.LAN, " ") != c.lan || strings.Join(got.WAN, " ") != c.wan:
			t.Errorf("%s: %+v, not %s and %s", c.name, got, c.lan, c.wan)
		}
	}
}

// TestAnswer: what somebody says for a side that could not be told is held to what there is.
func TestAnswer(t *testing.T) {
	host := []Interface{device("eth0", true, false, "192.168.50.1/24"), device("vlan20", true, false, "10.20.0.1/24"), device("eth1", true, true)}
	_, err := Complete(Sides{}, host)
	var unclear *Unclear
	if !errors.As(err, &unclear) || unclear.Side != LAN {
		t.Fatal(err)
	}
	said := Sides{WAN: []string{"eth1"}}
	for answer, why := range map[string]string{"": "needs an interface", "eth9": "there is no interface eth9", "eth0 eth1": "eth1 cannot be on both sides"} {
		if got, err := unclear.Answer(said, answer, host); err == nil || !strings.Contains(err.Error(), why) || got.LAN != nil {
			t.Errorf("%q: %+v, %v", answer, got, err)
		}
	}
	for answer, lan := range map[string]string{"vlan20": "vlan20", " eth0, vlan20": "eth0 vlan20"} {
		if got, err := unclear.Answer(said, answer, host); err != nil || strings.Join(got.LAN, " ") != lan || strings.Join(got.WAN, " ") != "eth1" {
			t.Errorf("%q: %+v, %v", answer, got, err)
		}
	}
}

func TestPublicNote(t *testing.T) {
	sides := Sides{LAN: []string{"eth0"}, WAN: []string{"eth1"}}
	for address, noted := range map[string]bool{"10.0.0.5/24": true, "100.64.1.1/10": true, "203.0.113.1/24": false} {
		if got := PublicNote(sides, []Interface{device("eth1", true, true, address)}); (got != "") != noted {
			t.Errorf("%s: %q", address, got)
		}
	}
}

// TestConfig: what is written is a configuration, and says what was planned.
func TestConfig(t *testing.T) {
	for _, outbound := range []bool{true, false} {
		for _, router := range []bool{true, false} {
			for _, servers := range [][]string{nil, {"192.168.50.20:21"}, {"192.168.50.20:2121", "[2001:db8:50::20]:2121"}} {
				if !outbound && len(servers) == 0 {
					continue
				}
				p := Plan{Sides: Sides{LAN: []string{"eth0", "vlan20"}, WAN: []string{"ppp0"}}, Outbound: outbound, Router: router, Note: "it is: behind #another"}
				for _, s := range servers {
					p.Publish = append(p.Publish, netip.MustParseAddrPort(s))
				}
				path := filepath.Join(t.TempDir(), "ftpgate.yaml")
				if err := os.WriteFile(path, []byte(p.Config()), 0o600); err != nil {
					t.Fatal(err)
				}
				c, warnings, err := configs.Load(path)
				if err != nil || len(warnings) > 0 {
					t.Fatalf("%v %v\n%s", err, warnings, p.Config())
				}
				if !slices.Equal(c.Interfaces.LAN, p.LAN) || !slices.Equal(c.Interfaces.WAN, p.WAN) || c.Firewall.Forwarding != router || c.Firewall.Masquerade != router {
					t.Errorf("%+v became %+v", p, c)
				}
				directions := map[configs.Direction]int{}
				for _, r := range c.Rules {
					directions[r.Direction]++
					if r.Direction == configs.Inbound && (!slices.Equal(r.Server, p.Publish) || !slices.Equal(r.Ports, []uint16{p.Publish[0].Port()})) {
						t.Errorf("%+v became %+v", p, r)
					}
				}
				if (directions[configs.Outbound] == 1) != outbound || (directions[configs.Inbound] == 1) != (len(servers) > 0) {
					t.Errorf("%+v has the rules %v", p, directions)
				}
			}
		}
	}
}
