package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ftpgate/ftpgate/configs"
)

// extra are our lines that the backend would put into a chain; first says that they come before all others. While the
// gateway runs they are among the rules.
func (f *Facts) extra(c *chain) (lines []*rule, first bool) {
	if f.Running || c.kind != "filter" || c.owned || c.hook != hookInput && c.hook != hookForward {
		return nil, false
	}
	switch {
	case !c.nft():
		if c.table.name != "filter" || f.Backend.Name == configs.BackendIPTables && kindOf(c.table) != kindOf(&table{program: f.Backend.Program}) {
			return nil, false
		}
		first = true
	case f.Backend.Name != configs.BackendNFTables || !slices.Contains([]string{"ip", "ip6", "inet"}, c.family):
		return nil, false
	}
	accept := func(when ...condition) *rule {
		return &rule{chain: c, ours: true, when: when, verdict: accepts}
	}
	m := f.Frame.Mask
	lines = []*rule{accept(byMark(connectionMark, f.Frame.PinholeMark, m))}
	if c.hook == hookInput {
		lines = append(lines, accept(byMark(packetMark, f.Frame.Mark, m)))
		for _, p := range f.Frame.ServerPorts {
			lines = append(lines, accept(byPort(from, ports{p, p}), byState([]string{"established"})))
		}
	}
	return lines, first
}

// meetings leads every packet that comes by the hook through all chains there.
func (f *Facts) meetings(hooks ...string) (mets []met, chains int) {
	for _, hook := range hooks {
		for _, c := range f.Ruleset.base(hook) {
			if c.kind == "nat" {
				continue
			}
			chains++
			extra, first := f.extra(c)
			for _, p := range f.packets() {
				if !slices.Contains(p.hooks, hook) || !c.concerns(p) || c.device != "" && c.device != p.iif+p.oif {
					continue
				}
				mets = append(mets, walk(p.at(c, f), c, extra, first)...)
			}
		}
	}
	return mets, chains
}

// dropsAt is the check of some hooks for what drops our packets.
func dropsAt(hooks ...string) func(*Facts) Outcome {
	return func(f *Facts) Outcome {
		mets, n := f.meetings(hooks...)
		mets = slices.DeleteFunc(mets, func(m met) bool { return m.effect != 0 })
		o := Outcome{Saw: passing(n, strings.Join(hooks, " and ")), Unchecked: f.Unread[unreadRules]}
		for _, group := range grouped(mets) {
			o.Findings = append(o.Findings, f.dropped(group))
		}
		return o
	}
}

func passing(chains int, where string) string {
	switch chains {
	case 0:
		return "no chain of the host filters at " + where
	case 1:
		return "the chain of the host at " + where + " lets FTP pass"
	}
	return fmt.Sprintf("the %d chains of the host at %s let FTP pass", chains, where)
}

// grouped puts together what is to be said once: the same rule or policy, and the same cure unless only a few packets are
// concerned; and of a chain all that are to be noted.
func grouped(mets []met) (groups [][]met) {
	for _, m := range mets {
		i := slices.IndexFunc(groups, func(g []met) bool {
			one, other := severity(g[0]), severity(m)
			return g[0].chain == m.chain && (one == Notes && other == Notes ||
				g[0].rule == m.rule && (g[0].cure() == m.cure() || one != Fails && other != Fails))
		})
		if i < 0 {
			groups = append(groups, []met{m})
		} else {
			groups[i] = append(groups[i], m)
		}
	}
	return groups
}

// severity of a drop: sure, doubtful, or one that concerns a few addresses or ports, which somebody will have meant.
func severity(m met) Severity {
	switch {
	case m.match == some, m.match == few:
		return Notes
	case m.match == yes && m.before == yes:
		return Fails
	}
	return Warns
}

func (f *Facts) dropped(group []met) Finding {
	m := group[0]
	for _, other := range group {
		if severity(other) == Fails || severity(other) == Warns && severity(m) == Notes {
			m = other
		}
	}
	found := Finding{ID: "drop-" + m.root.hook, Severity: severity(m), What: m.what() + " drops " + concerned(group)}
	switch {
	case found.Severity == Notes:
		found.What = m.what() + further(group) + " drops some of the " + strings.TrimPrefix(concerned(group), "the ")
		found.Why = "It concerns some addresses or few ports only; that is as it should be if somebody meant it."
		return found
	case m.match == unsure:
		found.What = m.what() + " may drop " + concerned(group)
		found.Why = "Whether the rule matches them cannot be told from here; FTP fails if it does."
	case m.before != yes:
		found.Why = fmt.Sprintf("What an earlier rule accepts passes (%s); whether that is all of it cannot be told.", m.passed.text)
	default:
		found.Why = because[m.root.hook]
	}
	found.Cure = m.cure()
	return found
}

// because says why nobody but the administrator can help.
var because = map[string]string{
	hookIngress:     "What is dropped before the gateway's rules see it never reaches them.",
	hookPrerouting:  "What is dropped before the gateway's rules see it never reaches them.",
	hookInput:       "Control connections that are taken over, and what servers reply, come by here, and no accept in another place overrules this.",
	hookForward:     "Every data connection passes here, and no accept in another place overrules this.",
	hookOutput:      "The gateway leaves the host's OUTPUT alone; its own connections to servers and its answers to clients pass here.",
	hookPostrouting: "No accept in another place overrules this.",
	hookEgress:      "No accept in another place overrules this.",
}

func (m met) what() string {
	switch {
	case m.rule == nil:
		return "The policy of " + m.chain.String()
	case m.chain.nft():
		return fmt.Sprintf("The rule %q (handle %d) of %s", m.rule.text, m.rule.handle, m.chain)
	}
	return fmt.Sprintf("The rule %q of %s", m.rule.text, m.chain)
}

// further counts the rules of a group beside the one that is named.
func further(group []met) string {
	var rules []*rule
	for _, m := range group {
		if !slices.Contains(rules, m.rule) {
			rules = append(rules, m.rule)
		}
	}
	if len(rules) == 1 {
		return ""
	}
	return fmt.Sprintf(", like %d more of its rules,", len(rules)-1)
}

// mostNamed is how many kinds of packets a finding names.
const mostNamed = 2

func concerned(group []met) string {
	var names []string
	for _, m := range group {
		if !slices.Contains(names, m.packet.what) {
			names = append(names, m.packet.what)
		}
	}
	if len(names) > mostNamed {
		return fmt.Sprintf("%s and %d more that FTP needs", strings.Join(names[:mostNamed], ", "), len(names)-mostNamed)
	}
	return strings.Join(names, " and ")
}

// cure lets the packet pass: in the words of the program whose rule it is, or else before anything else in the base chain.
func (m met) cure() string {
	if k := m.owner(); k != nil && k.cure != nil {
		if cure := k.cure(m); cure != "" {
			return cure
		}
	}
	c := m.root
	ipt, nft := m.packet.ipt, m.packet.nft
	if c.priority <= priorityConntrack {
		ipt, _, _ = strings.Cut(ipt, " -m conntrack")
		nft, _, _ = strings.Cut(nft, " ct state")
	}
	return c.accept(ipt, nft)
}

// accept is the command that lets packets pass a base chain before anything else in it.
func (c *chain) accept(ipt, nft string) string {
	if c.nft() {
		return fmt.Sprintf("nft insert rule %s %s %s '%s accept'", c.family, c.table.name, c.name, nft)
	}
	return fmt.Sprintf("%s -w -t %s -I %s %s -j ACCEPT", c.program, c.table.name, c.name, ipt)
}
