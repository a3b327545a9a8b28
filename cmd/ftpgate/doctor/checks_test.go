package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/configs"
	"github.com/ftpgate/ftpgate/firewall/iptables"
	"github.com/ftpgate/ftpgate/firewall/nftables"
	"github.com/ftpgate/ftpgate/nat"
)

func TestGood(t *testing.T) {
	r := wantIDs(t, good(), "")
	for _, c := range r.Checks {
		if !c.Good() || c.Saw == "" && c.Check != "interfaces" {
			t.Errorf("%+v", c)
		}
	}
	var out strings.Builder
	if err := r.Print(&out); err != nil || !strings.HasSuffix(out.String(), "FTP should work.\n") || strings.Count(out.String(), "ok  ") != len(r.Checks) {
		t.Errorf("%v: %s", err, out.String())
	}
}

func setting(name, value string) func(*Facts) { return func(f *Facts) { f.Settings[name] = value } }

func ipRule(priority, table int, change func(*netlink.Rule)) func(*Facts) {
	return func(f *Facts) {
		r := netlink.NewRule()
		r.Priority, r.Table = priority, table
		if change != nil {
			change(r)
		}
		f.Rules = append(f.Rules, nat.HostRule{Rule: *r})
	}
}

func listens(at string) func(*Facts) {
	return func(f *Facts) {
		a := netip.MustParseAddrPort(at)
		f.Listeners = append(f.Listeners, net.TCPAddr{IP: a.Addr().AsSlice(), Port: int(a.Port())})
	}
}

func TestChecks(t *testing.T) {
	runs := func(f *Facts) {
		f.Running = true
		f.Settings["net.netfilter.nf_conntrack_acct"] = "1"
		listens("127.0.0.1:2121")(f)
	}
	forwards := func(f *Facts) {
		c := *f.Config
		c.Firewall.Forwarding = true
		f.Config = &c
	}
	for _, c := range []struct {
		name   string
		change []func(*Facts)
		want   string
	}{
		{"runs", []func(*Facts){runs}, ""},
		{"interface is not there", []func(*Facts){func(f *Facts) { f.Links = f.Links[:2] }}, "interface-missing fails"},
		{"interface is down", []func(*Facts){func(f *Facts) { f.Links[1].Up = false }}, "interface-down fails"},
		{"interface without address", []func(*Facts){func(f *Facts) { f.Links[2].Addresses = nil }}, "interface-address fails"},
		{"default route on the LAN", []func(*Facts){func(f *Facts) { f.Links[1].Default, f.Links[2].Default = true, false }}, "sides-swapped fails"},
		{"default routes on both sides", []func(*Facts){func(f *Facts) { f.Links[1].Default = true }}, ""},
		{"no route to the server", []func(*Facts){func(f *Facts) { f.Ways[f.Config.Rules[1].Server[0].Addr()] = "" }}, "server-route fails"},
		{"does not forward", []func(*Facts){setting("net.ipv4.ip_forward", "0")}, "forwarding fails"},
		{"does not forward before the start turns it on", []func(*Facts){setting("net.ipv4.ip_forward", "0"), forwards}, ""},
		{"does not forward though the start turned it on", []func(*Facts){runs, setting("net.ipv4.ip_forward", "0"), forwards}, "forwarding fails"},
		{"one does not forward", []func(*Facts){setting("net.ipv4.conf.wan0.forwarding", "0")}, "forwarding fails"},
		{"does not forward IPv6", []func(*Facts){setting("net.ipv6.conf.all.forwarding", "0")}, "forwarding fails"},
		{"does not forward IPv6, which the WAN has not", []func(*Facts){setting("net.ipv6.conf.all.forwarding", "0"),
			func(f *Facts) { f.Links[2].Addresses = f.Links[2].Addresses[:1] }}, ""},
		{"strict", []func(*Facts){setting("net.ipv4.conf.all.rp_filter", "1")}, ""},
		{"strict and asymmetric", []func(*Facts){setting("net.ipv4.conf.all.rp_filter", "1"), func(f *Facts) { f.Returns["wan0"] = "lan0" }}, "rp-filter fails"},
		{"loose and asymmetric", []func(*Facts){setting("net.ipv4.conf.all.rp_filter", "1"), setting("net.ipv4.conf.wan0.rp_filter", "2"),
			func(f *Facts) { f.Returns["wan0"] = "lan0" }}, ""},
		{"helper by itself", []func(*Facts){setting("net.netfilter.nf_conntrack_helper", "1")}, "kernel-helper warns"},
		{"no conntrack", []func(*Facts){func(f *Facts) { delete(f.Settings, "net.netfilter.nf_conntrack_acct") }}, "conntrack-missing fails"},
		{"conntrack nearly full", []func(*Facts){setting("net.netfilter.nf_conntrack_count", "200000")}, "conntrack-full warns"},
		{"conntrack full", []func(*Facts){setting("net.netfilter.nf_conntrack_count", "262000")}, "conntrack-full fails"},
		{"conntrack small", []func(*Facts){setting("net.netfilter.nf_conntrack_max", "4096")}, "conntrack-small warns"},
		{"no accounting while it runs", []func(*Facts){runs, setting("net.netfilter.nf_conntrack_acct", "0")}, "conntrack-setting fails"},
		{"no events while it runs", []func(*Facts){runs, setting("net.netfilter.nf_conntrack_events", "0")}, "conntrack-setting fails"},
		{"no events before it runs", []func(*Facts){setting("net.netfilter.nf_conntrack_events", "0")}, ""},
		{"listener's port taken", []func(*Facts){listens("0.0.0.0:2121")}, "listen-port-taken fails"},
		{"listener's port taken elsewhere", []func(*Facts){listens("192.168.50.1:2121")}, ""},
		{"runs with another port", []func(*Facts){runs, func(f *Facts) { f.Listeners = nil }}, "listen-port warns"},
		{"status port taken", []func(*Facts){func(f *Facts) { f.Config.Status.Listen = "127.0.0.1:9121" }, listens("0.0.0.0:9121")}, "status-port-taken fails"},
		{"a data port taken", []func(*Facts){listens("[::]:50017")}, "data-ports-taken notes"},
		{"a data port taken on loopback", []func(*Facts){listens("127.0.0.1:50017")}, ""},
		{"all data ports taken", []func(*Facts){listens("0.0.0.0:50000"), func(f *Facts) { f.Config.DataPorts.Last = 50000 }}, "data-ports-taken fails"},
		{"ephemeral ports", []func(*Facts){setting("net.ipv4.ip_local_port_range", "32768 60999")}, "data-ports-ephemeral notes"},
		{"ephemeral ports reserved", []func(*Facts){setting("net.ipv4.ip_local_port_range", "32768 60999"),
			setting("net.ipv4.ip_local_reserved_ports", "8080,50000-51999")}, ""},
		{"ephemeral ports reserved in part", []func(*Facts){setting("net.ipv4.ip_local_port_range", "32768 60999"),
			setting("net.ipv4.ip_local_reserved_ports", "50000-51000")}, "data-ports-ephemeral notes"},
		{"bridge", []func(*Facts){func(f *Facts) { f.Links[1].Bridge = true }, setting("net.bridge.bridge-nf-call-iptables", "1")}, "bridge-netfilter fails"},
		{"bridge not filtered", []func(*Facts){func(f *Facts) { f.Links[1].Bridge = true }, setting("net.bridge.bridge-nf-call-iptables", "0")}, ""},
		{"no bridge", []func(*Facts){setting("net.bridge.bridge-nf-call-iptables", "1")}, ""},
		{"no capability", []func(*Facts){func(f *Facts) { f.Capabilities &^= 1 << unix.CAP_NET_ADMIN }}, "capability fails"},
		{"low port without capability", []func(*Facts){func(f *Facts) { f.Capabilities &^= 1 << unix.CAP_NET_BIND_SERVICE; f.Config.ListenPort = 900 }}, "capability fails"},
		{"capability not needed", []func(*Facts){func(f *Facts) { f.Capabilities &^= 1<<unix.CAP_NET_RAW | 1<<unix.CAP_NET_BIND_SERVICE }}, ""},
		{"legacy hidden", []func(*Facts){func(f *Facts) { f.Hidden = fs.ErrPermission }}, "legacy-hidden fails"},
		{"who may not look", []func(*Facts){func(f *Facts) {
			f.Capabilities, f.Stranger, f.Hidden, f.Backend.Err = 0, true, fs.ErrPermission, ErrUnprivileged
		}}, ""},
		{"a file", []func(*Facts){func(f *Facts) { f.Files = []Trouble{{Key: "status.token_file", Path: "/t", Problem: "no such file"}} }}, "file fails"},
		{"a file, perhaps", []func(*Facts){func(f *Facts) { f.Files = []Trouble{{Key: "status.token_file", Path: "/t", Unsure: true}} }}, ""},
		{"kernel", []func(*Facts){func(f *Facts) { f.Backend.Err = nftables.ErrKernel }}, "kernel-features fails"},
		{"owned", []func(*Facts){func(f *Facts) { f.Backend.Err = fmt.Errorf("chain: %w", nftables.ErrOwned) }}, "owned-table fails"},
		{"route tables", []func(*Facts){func(f *Facts) { f.Table = nat.ErrNoTable }}, "route-tables fails"},
		{"our own ip rule", []func(*Facts){runs, ipRule(121, 2121, nil), func(f *Facts) { f.Rules[0].Ours = true }}, ""},
		{"ip rule left over", []func(*Facts){ipRule(121, 2121, nil), func(f *Facts) { f.Rules[0].Ours = true }}, "leftovers fails"},
		{"ip rule before ours", []func(*Facts){ipRule(100, 254, nil)}, "ip-rule fails"},
		{"ip rule behind ours", []func(*Facts){ipRule(1000, 254, nil)}, ""},
		{"ip rule to an empty table", []func(*Facts){ipRule(100, 7, nil), func(f *Facts) { f.Empty[7] = true }}, ""},
		{"ip rule of another interface", []func(*Facts){ipRule(100, 254, func(r *netlink.Rule) { r.IifName = "dmz0" })}, ""},
		{"ip rule of another mark", []func(*Facts){ipRule(100, 254, func(r *netlink.Rule) { r.Mark = 0x100 })}, ""},
		{"ip rule of our mark", []func(*Facts){ipRule(100, 254, func(r *netlink.Rule) { m := uint32(0xf0000000); r.Mark, r.Mask = 0x40000000, &m })}, "ip-rule fails"},
		{"ip rule of LAN clients", []func(*Facts){ipRule(100, 254, func(r *netlink.Rule) { _, r.Src, _ = net.ParseCIDR("192.168.0.0/16") })}, "ip-rule fails"},
		{"ip rule of others", []func(*Facts){ipRule(100, 254, func(r *netlink.Rule) { _, r.Src, _ = net.ParseCIDR("203.0.113.1/32") })}, "ip-rule warns"},
		{"backend iptables", []func(*Facts){func(f *Facts) { f.Backend = Backend{Name: configs.BackendIPTables, Program: "iptables-nft"} }}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := good()
			for _, change := range c.change {
				change(f)
			}
			wantIDs(t, f, c.want)
		})
	}
}

// TestUnread: what could not be looked at is not ok.
func TestUnread(t *testing.T) {
	for what, checks := range map[string][]string{
		unreadRules:   {"gateway", "iptables", "on arrival", "input", "forward", "output", "on leaving", "marks", "connection tracking rules", "helper", "owners"},
		unreadLinks:   {"interfaces", "sides", "routes", "reverse path", "bridge"},
		unreadRouting: {"gateway", "ip rules"},
		unreadSockets: {"listener", "data ports"},
	} {
		f := good()
		f.unread(what, errors.New("not allowed"))
		var unlooked []string
		for _, c := range Examine(f).Checks {
			if c.verdict() == unchecked {
				unlooked = append(unlooked, c.Check)
			}
		}
		if fmt.Sprint(unlooked) != fmt.Sprint(checks) {
			t.Errorf("without %s unchecked: %q, want %q", what, unlooked, checks)
		}
	}
}

// TestNoPacketFilter: several reasons stand side by side, and a program is to be installed only if it is missing.
func TestNoPacketFilter(t *testing.T) {
	for _, c := range []struct {
		last  error
		cured bool
	}{{errors.New("permission denied"), false}, {iptables.ErrNoProgram, true}} {
		f := good()
		f.Backend.Err = errors.Join(errors.New("operation not permitted"), c.last)
		var b strings.Builder
		if err := Examine(f).Print(&b); err != nil {
			t.Fatal(err)
		}
		text := strings.Join(strings.Fields(b.String()), " ")
		if strings.Contains(text, "?") || !strings.Contains(text, "operation not permitted; "+c.last.Error()) || strings.Contains(text, "apt-get") != c.cured {
			t.Errorf("%v:\n%s", c.last, b.String())
		}
	}
}
