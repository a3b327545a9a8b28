package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ftpgate/ftpgate/configs"
	"github.com/ftpgate/ftpgate/firewall/iptables"
	"github.com/ftpgate/ftpgate/firewall/nftables"
)

func (f *Facts) isOwn(a netip.Addr) bool {
	return slices.ContainsFunc(f.Links, func(l Link) bool {
		return slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Addr() == a })
	})
}

// backend looks whether the kernel takes what the rules need: it has rehearsed them.
func backend(f *Facts) Outcome {
	b := f.Backend
	o := Outcome{Saw: fmt.Sprintf("backend %s: %s", b.Name, b.Reason)}
	switch {
	case errors.Is(b.Err, ErrUnprivileged):
		o.Saw, o.Unchecked = "", b.Err.Error()
	case b.Err == nil && b.Name == configs.BackendIPTables:
		o.Unchecked = "whether the kernel has all extensions of iptables shows when the rules are written"
	case errors.Is(b.Err, nftables.ErrOwned):
		o.Findings = []Finding{{ID: "owned-table", Severity: Fails, What: "A table that may drop our connections takes no line of ours: " + told(b.Err),
			Why: "What it drops neither backend can admit.", Cure: ownedCure}}
	case b.Err != nil:
		o.Findings = []Finding{{ID: "kernel-features", Severity: Fails, What: "No packet filter does here: " + told(b.Err),
			Why: "Pinholes need nftables (Linux 5.11 or later, with the modules named) or iptables."}}
		switch {
		case errors.Is(b.Err, nftables.ErrKernel):
			o.Findings[0].Cure = modules
		case errors.Is(b.Err, iptables.ErrNoProgram):
			o.Findings[0].Cure = "apt-get install iptables"
		}
	}
	return o
}

// modules are what the backend nftables needs of a kernel.
const modules = "modprobe -a nf_tables nft_ct nft_socket nft_tproxy nft_fib_ipv4 nft_fib_ipv6 nft_nat nft_chain_nat nft_limit nft_log nfnetlink_log"

// gateway looks for what a gateway that was killed has left.
func gateway(f *Facts) Outcome {
	if f.Running {
		return Outcome{Saw: "it runs"}
	}
	o := Outcome{Saw: "it does not run, and nothing is left of an earlier run", Unchecked: cmp.Or(f.Unread[unreadRules], f.Unread[unreadRouting])}
	ours := f.OurTable || slices.ContainsFunc(f.Rules, func(r hostRule) bool { return r.Ours })
	for _, t := range f.Ruleset.tables {
		for _, c := range t.order {
			ours = ours || strings.HasPrefix(c.name, "FTPGATE-") || slices.ContainsFunc(c.rules, func(r *rule) bool { return r.ours })
		}
	}
	if ours {
		o.Findings = []Finding{{ID: "leftovers", Severity: Fails, What: "The gateway does not run, but rules of an earlier run are there: it was killed",
			Why:  "Control connections are led to nobody until it is started again, which also cleans up.",
			Cure: "systemctl start ftpgate"}}
	}
	return o
}

// forwarding looks whether the kernel carries packets from one side to the other.
func forwarding(f *Facts) Outcome {
	var o Outcome
	var saw []string
	for _, six := range []bool{false, true} {
		name := "net.ipv4.ip_forward"
		if six {
			name = "net.ipv6.conf.all.forwarding"
		}
		off := f.setting(name) == "0"
		switch {
		case off && f.Config.Firewall.Forwarding && !f.Running:
			saw = append(saw, name+"=0, and the start turns it on (firewall.forwarding)")
		case off && f.speaks(six):
			o.Findings = append(o.Findings, Finding{ID: "forwarding", Severity: Fails, What: name + " is 0",
				Why: "No data connection of this family can pass. (firewall.forwarding: true lets ftpgate turn it on.)", Cure: "sysctl -w " + name + "=1"})
		case off && (!six || f.Frame.IPv6):
			saw = append(saw, name+"=0, but not both sides have addresses of that family")
		default:
			saw = append(saw, name+"="+f.setting(name))
		}
	}
	for _, i := range f.interfaces() {
		name := "net.ipv4.conf." + i + ".forwarding"
		if f.setting(name) == "0" && f.setting("net.ipv4.ip_forward") != "0" && f.speaks(false) {
			o.Findings = append(o.Findings, Finding{ID: "forwarding", Severity: Fails, What: name + " is 0",
				Why: "What arrives at this interface is not forwarded.", Cure: "sysctl -w " + sysctlName(name, i) + "=1"})
		}
	}
	o.Saw = strings.Join(saw, ", ")
	return o
}

// sysctlName is a setting as sysctl(8) takes it: dots in an interface's name are slashes there.
func sysctlName(name, iface string) string {
	return strings.Replace(name, "."+iface+".", "."+strings.ReplaceAll(iface, ".", "/")+".", 1)
}

// reversePath looks for strict filtering by rp_filter on interfaces whose senders are reached another way. Our own
// ip rules name the interface, so that no setting of rp_filter and src_valid_mark concerns what is taken over.
func reversePath(f *Facts) Outcome {
	o := Outcome{Unchecked: f.Unread[unreadLinks]}
	var saw []string
	all := f.setting("net.ipv4.conf.all.rp_filter")
	for _, i := range f.interfaces() {
		name := "net.ipv4.conf." + i + ".rp_filter"
		mode := max(all, f.setting(name))
		saw = append(saw, i+": "+mode)
		if mode != "1" {
			continue
		}
		who, by := f.elsewhere(i)
		if who == "" {
			continue
		}
		o.Findings = append(o.Findings, Finding{ID: "rp-filter", Severity: Fails,
			What: fmt.Sprintf("rp_filter is strict (1) at %s, and packets to %s leave by %s", i, who, by),
			Why:  "What they send arrives here and is dropped: the way back is another one.",
			Cure: "sysctl -w " + sysctlName(name, i) + "=2"})
	}
	o.Saw = "no strict rp_filter where the way back is another one (" + strings.Join(saw, ", ") + ")"
	return o
}

// elsewhere finds senders that arrive at an interface and are reached by another one; "": none.
func (f *Facts) elsewhere(iface string) (who, by string) {
	if slices.Contains(f.Config.Interfaces.WAN, iface) {
		by, asked := f.Returns[iface]
		if asked && by != iface && slices.Contains(f.interfaces(), by) {
			return "the Internet", by
		}
		return "", ""
	}
	if len(f.Config.Interfaces.LAN) > 1 {
		return "", "" // by which of them a client comes is not known
	}
	for _, r := range f.Config.Rules {
		if r.Direction != configs.Outbound {
			continue
		}
		for _, n := range r.Clients {
			if by := f.Ways[inside(n)]; n.Addr().Is4() && by != "" && by != iface {
				return n.String(), by
			}
		}
	}
	return "", ""
}

// full and crowded are shares of conntrack's table.
const (
	full    = 0.95
	crowded = 0.75
	// perSession is how many entries a session has: two control connections and one of data.
	perSession = 3
)

// conntrackTable looks at the size of conntrack's table and at what it is told to count.
func conntrackTable(f *Facts) Outcome {
	count, have := f.number("net.netfilter.nf_conntrack_count")
	most, limited := f.number("net.netfilter.nf_conntrack_max")
	if _, known := f.Settings["net.netfilter.nf_conntrack_acct"]; !known {
		return Outcome{Findings: []Finding{{ID: "conntrack-missing", Severity: Fails, What: "The kernel has no conntrack (net.netfilter.nf_conntrack_acct is not there)",
			Why: "Nothing can be translated, and the end of no transfer is seen.", Cure: "modprobe nf_conntrack"}}}
	}
	o := Outcome{Saw: fmt.Sprintf("%d of %d entries", count, most)}
	if have && limited && most > 0 {
		o.Findings = f.tableSize(count, most)
	}
	if !f.Running {
		o.Saw += fmt.Sprintf("; the gateway turns on accounting (%s) and events (%s)", f.setting("net.netfilter.nf_conntrack_acct"), f.setting("net.netfilter.nf_conntrack_events"))
		return o
	}
	for name, why := range map[string]string{
		"net.netfilter.nf_conntrack_acct":   "The gateway had turned it on; without it transfers have no byte counts, and one that moves looks idle and is cut.",
		"net.netfilter.nf_conntrack_events": "The gateway had turned it on; without it no beginning of a transfer is seen.",
	} {
		if f.setting(name) == "0" {
			o.Findings = append(o.Findings, Finding{ID: "conntrack-setting", Severity: Fails, What: name + " is 0", Why: why, Cure: "sysctl -w " + name + "=1"})
		}
	}
	return o
}

func (f *Facts) tableSize(count, most int) (found []Finding) {
	cure := fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d", 2*most)
	sessions := 0
	for _, r := range f.Config.Rules {
		sessions += r.Limits.Sessions
	}
	switch share := float64(count) / float64(most); {
	case share >= full:
		return []Finding{{ID: "conntrack-full", Severity: Fails, What: fmt.Sprintf("conntrack's table is full: %d of %d entries", count, most),
			Why: "The kernel drops the first packet of every further connection, of data and control alike.", Cure: cure}}
	case share >= crowded:
		return []Finding{{ID: "conntrack-full", Severity: Warns, What: fmt.Sprintf("conntrack's table is nearly full: %d of %d entries", count, most),
			Why: "When it is full, the kernel drops the first packet of every further connection.", Cure: cure}}
	case perSession*sessions > most:
		return []Finding{{ID: "conntrack-small", Severity: Warns,
			What: fmt.Sprintf("conntrack's table has %d entries, and the %d sessions that limits.sessions admits need %d", most, sessions, perSession*sessions),
			Why:  "When it is full, the kernel drops the first packet of every further connection.",
			Cure: fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d", 2*perSession*sessions)}}
	}
	return nil
}

func (f *Facts) number(name string) (n int, ok bool) {
	n, err := strconv.Atoi(f.setting(name))
	return n, err == nil
}
