package iptables

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ftpgate/ftpgate/firewall"
)

// What the frame's Gateway needs. The first two chains are hooked late: behind the host's own rules.
const (
	chainGateway    = prefix + "GATEWAY"    // filter: between LAN and WAN
	chainMasquerade = prefix + "MASQUERADE" // nat: what nobody else has translated
	chainSegments   = prefix + "SEGMENTS"   // mangle: the largest segments between LAN and WAN
)

// lets are the rules by which the LAN opens connections to the WAN.
func lets(g firewall.Gateway) (rules []spec) {
	for _, lan := range g.LAN {
		for _, wan := range g.WAN {
			rules = append(rules,
				rule(fmt.Sprintf("-i %s -o %s -m conntrack --ctstate NEW,RELATED,ESTABLISHED", lan, wan),
					"ftpgate: the LAN opens connections to the WAN", "-j ACCEPT"),
				rule(fmt.Sprintf("-i %s -o %s -m conntrack --ctstate RELATED,ESTABLISHED", wan, lan),
					"ftpgate: what belongs to connections of the LAN", "-j ACCEPT"))
		}
	}
	return rules
}

// guards close what a host that forwards and has no firewall would leave open: routed addresses of the LAN, IPv6 above
// all. exposed are the interfaces of the WAN that no rule of the host closes.
func guards(exposed []string) (rules []spec) {
	for _, wan := range exposed {
		rules = append(rules,
			rule(fmt.Sprintf("-i %s -m conntrack --ctstate RELATED,ESTABLISHED", wan),
				"ftpgate: it belongs to a connection that was admitted", "-j RETURN"),
			rule(fmt.Sprintf("-i %s -m conntrack --ctstate DNAT", wan), "ftpgate: the host has published it", "-j RETURN"),
			rule("-i "+wan, "ftpgate: nobody has admitted it", "-j DROP"))
	}
	return rules
}

// gateway adds the chain of the table filter.
func (t *table) gateway(g firewall.Gateway, exposed []string) {
	if !g.Forward {
		return
	}
	t.chains = append(t.chains, chain{name: chainGateway, rules: append(lets(g), guards(exposed)...)})
	t.jumps = append(t.jumps, jump{from: forward, to: chainGateway, late: true})
}

// segments adds the chain of the table mangle: each end is told what the way carries, both ways.
func (t *table) segments(g firewall.Gateway) {
	if !g.Forward {
		return
	}
	c := chain{name: chainSegments}
	for _, lan := range g.LAN {
		for _, wan := range g.WAN {
			for _, way := range []string{"-i " + lan + " -o " + wan, "-i " + wan + " -o " + lan} {
				c.rules = append(c.rules, rule(way+" -p tcp --tcp-flags SYN,RST SYN", "ftpgate: the largest segment that the way carries", "-j TCPMSS --clamp-mss-to-pmtu"))
			}
		}
	}
	t.chains = append(t.chains, c)
	t.jumps = append(t.jumps, jump{from: forward, to: chainSegments, match: fields("-p tcp --tcp-flags SYN,RST SYN")})
}

// masquerade adds the chain of the table nat. Matching -i behind POSTROUTING takes Linux 5.7.
func (t *table) masquerade(g firewall.Gateway, is4 bool) {
	if !g.Masquerade {
		return
	}
	c := chain{name: chainMasquerade}
	for _, lan := range g.LAN {
		for _, wan := range g.WAN {
			match := fmt.Sprintf("-i %s -o %s", lan, wan)
			if !is4 {
				match += " -s " + firewall.UniqueLocal.String()
			}
			c.rules = append(c.rules, rule(match, "ftpgate: the LAN, as the interface by which it leaves", "-j MASQUERADE"))
		}
	}
	t.chains = append(t.chains, c)
	t.jumps = append(t.jumps, jump{from: postRouting, to: chainMasquerade, late: true})
}

// behind is the number of the rule of a chain of the host before which a late jump belongs, from 1 on: the first that
// drops all the rest itself. 0: at the end.
func (t *saved) behind(chain string) int {
	if t == nil {
		return 0
	}
	for i, r := range t.rules[chain] {
		if m := matchOf(r); m.simple && m.from == "" && m.drops() {
			return i + 1
		}
	}
	return 0
}

// misplaced tells whether rules of the host stand behind a late jump that were added after it. is is where it stands.
func (t *saved) misplaced(chain string, is int) bool {
	for i, r := range t.rules[chain][is+1:] {
		if !strings.HasPrefix(comment(r), owned) {
			before := t.behind(chain)
			return before == 0 || is+1+i+1 != before
		}
	}
	return false
}

// match is what a printed rule demands, as far as it is simple: nothing, or an interface.
type match struct {
	simple bool
	from   string // the interface by which the packet came; "": any
	target string
	leaves bool // by -g
}

func (m match) drops() bool { return m.target == "DROP" || m.target == "REJECT" }

func (m match) meets(name string) bool { return m.simple && (m.from == "" || m.from == name) }

// matchOf reads a rule as iptables-save prints it: "-i eth1 -m comment --comment x -j DROP".
func matchOf(rule string) match {
	m := match{simple: true}
	w := words(rule)
	for i := 0; i < len(w); i++ {
		next := ""
		if i+1 < len(w) {
			next = w[i+1]
		}
		switch {
		case w[i] == "-j" || w[i] == "-g":
			m.target, m.leaves = next, w[i] == "-g"
			return m // what follows belongs to the target
		case w[i] == "-i" && !strings.HasSuffix(next, "+"):
			m.from = next
			i++
		case w[i] == "-m" && next == "comment", w[i] == "--comment":
			i++
		default: // "!" as well
			m.simple = false
		}
	}
	return m
}

// closes tells whether the host's own rules drop all that comes from an interface to be forwarded and no rule accepts.
func (set ruleset) closes(name string) bool {
	t := set["filter"]
	if t == nil {
		return false
	}
	fate := t.fate(forward, name, map[string]bool{})
	return fate == "DROP" || fate == "" && t.policies[forward] == "DROP"
}

// fate is what becomes in a chain of what comes from an interface and meets no rule that demands more: ACCEPT, DROP, or
// "" at the end of the chain.
func (t *saved) fate(chain, name string, seen map[string]bool) string {
	if seen[chain] || strings.HasPrefix(chain, prefix) {
		return ""
	}
	seen[chain] = true
	for _, r := range t.rules[chain] {
		m := matchOf(r)
		switch {
		case !m.meets(name):
		case m.drops():
			return "DROP"
		case m.target == "ACCEPT":
			return "ACCEPT"
		case m.target == "RETURN":
			return ""
		case t.has(m.target):
			if fate := t.fate(m.target, name, seen); fate != "" || m.leaves {
				return fate
			}
		}
	}
	return ""
}

// Legacy tells whether the host has tables of iptables-legacy.
func (f *Filter) Legacy() bool { return legacyInUse(true) || legacyInUse(false) }

// Closes tells whether rules of iptables-legacy drop all that comes from an interface to be forwarded. Those of
// iptables-nft are seen in nf_tables.
func (f *Filter) Closes(is4 bool, name string) (bool, error) {
	if !legacyInUse(is4) {
		return false, nil
	}
	set, err := f.suites[Legacy].family(is4).read()
	if err != nil {
		return false, fmt.Errorf("looking for the host's rules: %w", err)
	}
	return set.closes(name), nil
}

// expose finds the interfaces of the WAN that the host's own rules leave open, those of the other variant included. It
// tells whether they are others than before.
func (f *family) expose(frame firewall.Frame, own ruleset) (changed bool, err error) {
	var exposed []string
	if frame.Gateway.Forward && f.guards {
		sets := []ruleset{own}
		if f.other.save != "" && (f.variant == Legacy || legacyInUse(f.is4)) {
			set, err := f.other.read()
			if err != nil {
				return false, fmt.Errorf("looking for the host's rules: %w", err)
			}
			sets = append(sets, set)
		}
		for _, name := range frame.Gateway.WAN {
			if !slices.ContainsFunc(sets, func(set ruleset) bool { return set.closes(name) }) {
				exposed = append(exposed, name)
			}
		}
	}
	changed = !slices.Equal(exposed, f.exposed)
	f.exposed = exposed
	return changed, nil
}

// Guards implements firewall.Guard.
func (b *Backend) Guards() (closed []string) {
	for _, f := range b.families {
		if !f.installed() {
			continue
		}
		for _, name := range f.exposed {
			closed = append(closed, f.String()+" "+name)
		}
	}
	return closed
}
