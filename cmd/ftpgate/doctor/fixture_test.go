package doctor

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/configs"
	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/firewall/iptables"
)

// good are the facts of a host on which all is well: LAN clients out, a server published, IPv4 and IPv6.
func good() *Facts {
	prefixes := func(list ...string) (ps []netip.Prefix) {
		for _, s := range list {
			ps = append(ps, netip.MustParsePrefix(s))
		}
		return ps
	}
	server := netip.MustParseAddr("192.168.50.20")
	return &Facts{
		Path: "ftpgate.yaml",
		Config: &configs.Config{
			Interfaces: configs.Interfaces{LAN: []string{"lan0"}, WAN: []string{"wan0"}},
			DataPorts:  configs.PortRange{First: 50000, Last: 51999}, ListenPort: 2121,
			Rules: []configs.Rule{
				{Name: "out", Direction: configs.Outbound, Clients: configs.AnyNetwork(), Servers: configs.AnyNetwork(), Ports: []uint16{21},
					Limits: configs.Limits{Sessions: 1000}},
				{Name: "in", Direction: configs.Inbound, Clients: configs.AnyNetwork(), Servers: configs.AnyNetwork(), Ports: []uint16{21},
					Server: []netip.AddrPort{netip.AddrPortFrom(server, 21)}, PreserveClientAddress: true, Limits: configs.Limits{Sessions: 1000}},
			},
		},
		Frame: firewall.Frame{Mark: 0x46000000, PinholeMark: 0x47000000, Mask: 0xff000000, ListenPort: 2121, IPv4: true, IPv6: true,
			ServerPorts: []uint16{21}},
		Backend:      Backend{Name: configs.BackendNFTables, Reason: "the test says so"},
		Capabilities: ^uint64(0),
		Links: []Link{
			{Name: "lo", Up: true},
			{Name: "lan0", Up: true, Addresses: prefixes("192.168.50.1/24", "2001:db8:50::1/64")},
			{Name: "wan0", Up: true, Default: true, Addresses: prefixes("203.0.113.1/24", "2001:db8:113::1/64")},
		},
		Ways:    map[netip.Addr]string{server: "lan0"},
		Returns: map[string]string{"wan0": "wan0"},
		Settings: map[string]string{
			"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1", "net.ipv4.conf.all.rp_filter": "0",
			"net.ipv4.conf.lan0.rp_filter": "0", "net.ipv4.conf.wan0.rp_filter": "0",
			"net.ipv4.conf.lan0.forwarding": "1", "net.ipv4.conf.wan0.forwarding": "1",
			"net.ipv4.ip_local_port_range": "32768 49999", "net.ipv4.ip_local_reserved_ports": "",
			"net.netfilter.nf_conntrack_count": "10", "net.netfilter.nf_conntrack_max": "262144",
			"net.netfilter.nf_conntrack_acct": "0", "net.netfilter.nf_conntrack_events": "2",
		},
		Empty:  map[int]bool{},
		Unread: map[string]string{},
	}
}

// chainsOf reads rules as iptables -S prints them, "-P CHAIN POLICY" and "-A CHAIN rule", into a table of the host.
func chainsOf(f *Facts, variant iptables.Variant, name, text string) {
	t := iptables.HostTable{Variant: variant, IPv4: true, Name: name, Program: "iptables-" + string(variant)}
	at := func(chain string) *iptables.HostChain {
		i := slices.IndexFunc(t.Chains, func(c iptables.HostChain) bool { return c.Name == chain })
		if i < 0 {
			policy := "-"
			if slices.Contains([]string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}, chain) {
				policy = "ACCEPT"
			}
			t.Chains = append(t.Chains, iptables.HostChain{Name: chain, Policy: policy})
			i = len(t.Chains) - 1
		}
		return &t.Chains[i]
	}
	for line := range strings.Lines(text) {
		words := strings.SplitN(strings.TrimSpace(line), " ", 3)
		switch words[0] {
		case "-P":
			at(words[1]).Policy = words[2]
		case "-A":
			c := at(words[1])
			c.Rules = append(c.Rules, words[2])
		}
	}
	f.Ruleset.addIPTables([]iptables.HostTable{t})
}

// ids are the findings of a report, each as "id severity".
func ids(r Report) (all []string) {
	for _, c := range r.Checks {
		for _, f := range c.Findings {
			all = append(all, f.ID+" "+string(f.Severity))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func wantIDs(t *testing.T, f *Facts, want string) Report {
	t.Helper()
	r := Examine(f)
	if got := strings.Join(ids(r), ", "); got != want {
		t.Errorf("found %q, want %q", got, want)
		for _, c := range r.Checks {
			for _, f := range c.Findings {
				t.Logf("%+v", f)
			}
		}
	}
	if r.Fails != strings.Contains(want, " fails") {
		t.Errorf("the report fails: %t", r.Fails)
	}
	return r
}
