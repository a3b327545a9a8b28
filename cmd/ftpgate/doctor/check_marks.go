package doctor

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/ftpgate/ftpgate/firewall/iptables"
)

// allHooks are those at which rules may change what we rely on.
var allHooks = []string{hookIngress, hookPrerouting, hookInput, hookForward, hookOutput, hookPostrouting}

// having are the meetings with rules that have an effect of these kinds.
func (f *Facts) having(kinds ...effectKind) []met {
	mets, _ := f.meetings(allHooks...)
	return slices.DeleteFunc(mets, func(m met) bool { return !slices.Contains(kinds, m.effect) })
}

// each rule once, with the worst that it does.
func perRule(mets []met, worse func(a, b met) bool) (out []met) {
	for _, m := range mets {
		i := slices.IndexFunc(out, func(o met) bool { return o.rule == m.rule })
		switch {
		case i < 0:
			out = append(out, m)
		case worse(m, out[i]):
			out[i] = m
		}
	}
	return out
}

func moreCertain(a, b met) bool { return a.certain() < b.certain() }

func (m met) certain() truth { return max(m.match, m.before) }

// marks looks for rules that overwrite our byte of a mark after it has been set, and for ip rules that our byte would
// lead astray.
func marks(f *Facts) Outcome {
	o := Outcome{Saw: fmt.Sprintf("nobody else writes the bits %#x of marks that FTP's packets bear", f.Frame.Mask),
		Unchecked: f.Unread[unreadRules]}
	var lost []met
	for _, m := range f.having(overwritesMark, overwritesCTMark) {
		if m.effect == overwritesMark && m.packet.mark != 0 && m.root.hook != hookInput && m.root.hook != hookPostrouting ||
			m.effect == overwritesCTMark && m.packet.ctMark != 0 {
			lost = append(lost, m)
		}
	}
	for _, m := range perRule(lost, moreCertain) {
		o.Findings = append(o.Findings, f.overwritten(m))
	}
	o.Findings = append(o.Findings, f.wholeMarks()...)
	return o
}

func (f *Facts) overwritten(m met) Finding {
	found := Finding{ID: "mark-overwritten", Severity: Warns,
		What: m.what() + " overwrites the mark by which ftpgate knows " + m.packet.what}
	if m.certain() == yes && (m.effect == overwritesMark || m.packet.first) {
		found.Severity = Fails
	}
	value, ipt, nft := f.Frame.Mark, "mark", "meta mark"
	found.Why = "A packet without it is routed as any other and never reaches the gateway."
	if m.effect == overwritesCTMark {
		value, ipt, nft = f.Frame.PinholeMark, "connmark", "ct mark"
		found.Why = "A data connection without it is neither accepted nor translated nor counted. Give the rule a mask without our bits, or:"
	}
	found.Cure = m.root.accept(fmt.Sprintf("-m %s --mark %#x/%#x", ipt, value, f.Frame.Mask),
		fmt.Sprintf("%s & %#x == %#x", nft, f.Frame.Mask, value))
	return found
}

// wholeMarks finds hosts that copy connection marks to packets and compare all bits of them in ip rules: our byte makes
// the comparison fail.
func (f *Facts) wholeMarks() (found []Finding) {
	copies := f.having(restoresMark)
	if len(copies) == 0 {
		return nil
	}
	for _, r := range f.Rules {
		if r.Ours || r.Mark == 0 || r.Mask == nil || *r.Mask&f.Frame.Mask == 0 {
			continue
		}
		mask := ^f.Frame.Mask & *r.Mask
		spec := fmt.Sprintf("priority %d fwmark %#x/%#x lookup %d", r.Priority, r.Mark, *r.Mask, r.Table)
		family := "-4"
		if r.IPv6 {
			family = "-6"
		}
		found = append(found, Finding{ID: "mark-compared-whole", Severity: Warns,
			What: fmt.Sprintf("The ip rule %q compares all bits of a mark, and %s copies marks of connections to packets", spec, copies[0].what()),
			Why:  "Data connections bear our byte in their mark; once it is copied, the rule does not match their packets any more, and they take another way.",
			Cure: fmt.Sprintf("ip %s rule del %s && ip %s rule add priority %d fwmark %#x/%#x lookup %d", family, spec, family, r.Priority, r.Mark&mask, mask, r.Table),
		})
	}
	return found
}

// tracking looks for rules that keep FTP's packets out of conntrack.
func tracking(f *Facts) Outcome {
	o := Outcome{Saw: "no rule keeps FTP's packets out of conntrack", Unchecked: f.Unread[unreadRules]}
	for _, m := range perRule(f.having(untracks), moreCertain) {
		s := Fails
		if m.certain() != yes {
			s = Warns
		}
		if m.certain() == few || m.certain() == some {
			s = Notes
		}
		o.Findings = append(o.Findings, Finding{ID: "untracked", Severity: s,
			What: m.what() + " keeps conntrack from seeing " + m.packet.what,
			Why:  "Without conntrack a data connection is neither translated nor admitted, and a control connection is not taken for established.",
			Cure: m.removal(),
		})
	}
	return o
}

// helper looks for the kernel's own FTP helper on our connections.
func helper(f *Facts) Outcome {
	o := Outcome{Saw: "the kernel's helper for FTP is assigned to none of our connections", Unchecked: f.Unread[unreadRules]}
	const why = "The helper reads the same dialogue: it drops packets of which it cannot make sense, changes addresses that ftpgate " +
		"has changed, and opens ports of its own. ftpgate needs no helper."
	if f.setting("net.netfilter.nf_conntrack_helper") == "1" {
		o.Findings = append(o.Findings, Finding{ID: "kernel-helper", Severity: Warns, Why: why,
			What: "net.netfilter.nf_conntrack_helper is 1: the kernel assigns its helper to port 21 by itself, if nf_conntrack_ftp is loaded",
			Cure: "sysctl -w net.netfilter.nf_conntrack_helper=0"})
	}
	for _, m := range perRule(f.having(assignsHelper), moreCertain) {
		o.Findings = append(o.Findings, Finding{ID: "kernel-helper", Severity: Warns, Why: why,
			What: m.what() + " assigns the kernel's helper to " + m.packet.what, Cure: m.removal()})
	}
	return o
}

// removal is the command that takes the rule away.
func (m met) removal() string {
	c := m.chain
	if c.nft() {
		return fmt.Sprintf("nft delete rule %s %s %s handle %d", c.family, c.table.name, c.name, m.rule.handle)
	}
	return fmt.Sprintf("%s -w -t %s -D %s %s", c.program, c.table.name, c.name, forShell(iptables.Words(m.rule.text)))
}

// forShell quotes the words of a printed rule as sh wants it; iptables-save has quotes of its own.
func forShell(words []string) string {
	for i, w := range words {
		if strings.ContainsFunc(w, func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_./:,+=%@", r)
		}) || w == "" {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}
