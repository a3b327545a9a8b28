package doctor

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/configs"
	"github.com/ftpgate/ftpgate/nat"
)

type hostRule = nat.HostRule

// ipRules looks for rules that are asked before ours and take our packets elsewhere.
func ipRules(f *Facts) Outcome {
	o := Outcome{Saw: fmt.Sprintf("no foreign ip rule before ours (priority %d) takes control connections", nat.RoutingPriority), Unchecked: f.Unread[unreadRouting]}
	if f.Table != nil {
		o.Findings = append(o.Findings, Finding{ID: "route-tables", Severity: Fails, What: f.Table.Error(),
			Why: "The route that leads control connections to the gateway has no place.", Cure: "ip rule show; ip route show table 2121   # give one of them up"})
	}
	for _, r := range f.Rules {
		t := f.inTheWay(r)
		if t == no {
			continue
		}
		family, severity := "-4", Fails
		if r.IPv6 {
			family = "-6"
		}
		if t != yes {
			severity = Warns
		}
		spec := specOf(r)
		o.Findings = append(o.Findings, Finding{ID: "ip-rule", Severity: severity,
			What: fmt.Sprintf("The ip rule %q (priority %d) is asked before ours (priority %d) and matches control connections that are taken over", spec, r.Priority, nat.RoutingPriority),
			Why:  "They are routed as it says, past the gateway.",
			Cure: fmt.Sprintf("ip %s rule add %s priority %d && ip %s rule del %s priority %d", family, spec, f.freePriority(r), family, spec, r.Priority)})
	}
	return o
}

// inTheWay tells whether a rule takes packets that bear our mark. Those to an address of this host are in the local table,
// which is asked first.
func (f *Facts) inTheWay(r hostRule) truth {
	mask := uint32(0xffffffff)
	if r.Mask != nil {
		mask = *r.Mask
	}
	switch {
	case r.Ours, r.Priority >= nat.RoutingPriority, r.Table == unix.RT_TABLE_LOCAL, r.Table == 0, r.IPv6 && !f.Frame.IPv6:
		return no
	case f.Empty[r.Table], r.OifName != "", r.SuppressPrefixlen >= 0:
		return no
	case r.IifName != "" && !slices.Contains(f.interfaces(), r.IifName):
		return no
	case r.Mark != 0 && (r.Mark^f.Frame.Mark)&mask&f.Frame.Mask != 0:
		return no
	case r.Mark&^f.Frame.Mask&mask != 0:
		return no // demands bits that nobody sets
	case r.Invert || r.Dst != nil || r.Src != nil && !f.fromLAN(r.Src):
		return unsure
	}
	return yes
}

// fromLAN tells whether LAN clients are in a network.
func (f *Facts) fromLAN(n *net.IPNet) bool {
	for _, l := range f.Links {
		for _, a := range l.Addresses {
			if slices.Contains(f.Config.Interfaces.LAN, l.Name) && n.Contains(net.IP(a.Addr().AsSlice())) {
				return true
			}
		}
	}
	return false
}

// freePriority is one behind ours that nobody has.
func (f *Facts) freePriority(of hostRule) int {
	p := nat.RoutingPriority + 1 + of.Priority
	for slices.ContainsFunc(f.Rules, func(r hostRule) bool { return r.IPv6 == of.IPv6 && r.Priority == p }) {
		p++
	}
	return p
}

// specOf writes the selectors and the table as iproute2 takes them.
func specOf(r hostRule) string {
	var words []string
	if r.Invert {
		words = append(words, "not")
	}
	if r.IifName != "" {
		words = append(words, "iif "+r.IifName)
	}
	for selector, network := range map[string]*net.IPNet{"from": r.Src, "to": r.Dst} {
		if network != nil {
			words = append(words, selector+" "+network.String())
		}
	}
	if r.Mark != 0 {
		mask := uint32(0xffffffff)
		if r.Mask != nil {
			mask = *r.Mask
		}
		words = append(words, fmt.Sprintf("fwmark %#x/%#x", r.Mark, mask))
	}
	return strings.Join(append(words, fmt.Sprintf("lookup %d", r.Table)), " ")
}

// variants looks for rules in both kinds of iptables.
func variants(f *Facts) Outcome {
	rules := map[string]int{}
	for _, t := range f.Ruleset.tables {
		if t.nft() {
			continue
		}
		for _, c := range t.order {
			if c.drops {
				rules[kindOf(t)]++
			}
			for _, r := range c.rules {
				if !r.ours {
					rules[kindOf(t)]++
				}
			}
		}
	}
	o := Outcome{Unchecked: f.Unread[unreadRules], Saw: fmt.Sprintf("rules of the host: %d in iptables-nft, %d in iptables-legacy", rules["nft"], rules["legacy"])}
	if rules["nft"] == 0 || rules["legacy"] == 0 {
		return o
	}
	found := Finding{ID: "iptables-both", Severity: Notes,
		What: fmt.Sprintf("Both variants of iptables hold rules: nft %d, legacy %d", rules["nft"], rules["legacy"]),
		Why:  "Every packet must pass both. The backend nftables puts its lines into both; still, an administrator who looks at one sees half.",
		Cure: "iptables-legacy-save | iptables-nft-restore --noflush && ip6tables-legacy-save | ip6tables-nft-restore --noflush && " + emptyLegacy}
	if f.Backend.Name == configs.BackendIPTables {
		found.Severity = Warns
		found.Why = "Every packet must pass both, and the backend iptables admits in one: " + f.Backend.Program + ". What the other one drops stays dropped."
	}
	o.Findings = []Finding{found}
	return o
}

// emptyLegacy takes the rules of iptables-legacy away, and the policies that drop.
const emptyLegacy = "for p in iptables ip6tables; do for t in $(cat /proc/net/${p%tables}_tables_names); do $p-legacy -t $t -F; $p-legacy -t $t -X; " +
	"done; for c in INPUT FORWARD OUTPUT; do $p-legacy -P $c ACCEPT; done; done"

func kindOf(t *table) string {
	if strings.HasSuffix(t.program, "-legacy") {
		return "legacy"
	}
	return "nft"
}

// bridge looks for bridges of the configuration whose frames the firewall sees before the router does.
func bridge(f *Facts) Outcome {
	o := Outcome{Saw: "no interface of the configuration is a bridge", Unchecked: f.Unread[unreadLinks]}
	for _, name := range f.interfaces() {
		l := f.link(name)
		if l == nil || !l.Bridge {
			continue
		}
		o.Saw = "net.bridge.bridge-nf-call-iptables and -ip6tables are 0"
		for _, setting := range []string{"net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"} {
			if f.setting(setting) == "1" && (strings.HasSuffix(setting, "-iptables") || f.Frame.IPv6) {
				o.Findings = append(o.Findings, Finding{ID: "bridge-netfilter", Severity: Fails, What: fmt.Sprintf("%s is a bridge, and %s is 1", name, setting),
					Why:  "The kernel shows its packets to the firewall before they are the router's, and TPROXY takes none of them over.",
					Cure: "sysctl -w " + setting + "=0"})
			}
		}
	}
	return o
}

// owners tells who else writes rules here.
func owners(f *Facts) Outcome {
	o := Outcome{Saw: "no program that is known to write rules of its own", Unchecked: f.Unread[unreadRules]}
	for _, k := range known {
		if f.owns(k) {
			o.Saw = "none but those that are noted"
			o.Findings = append(o.Findings, Finding{ID: "owner-" + k.id, Severity: Notes, What: k.name + " writes rules on this host", Why: k.means})
		}
	}
	return o
}
