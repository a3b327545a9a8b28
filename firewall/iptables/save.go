package iptables

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxSaveLine bounds a line of iptables-save, in bytes; the longest rules, with a payload to compare, have a few KiB.
const maxSaveLine = 1 << 20

// ruleset is what iptables-save shows of one family.
type ruleset map[string]*saved // by table

// saved is one table as the host has it.
type saved struct {
	policies map[string]string   // by chain: ACCEPT, DROP, or "-" for one that somebody made
	rules    map[string][]string // by chain: the rules as printed, without "-A chain "
	order    []string            // the chains in the order of the output
}

// parseSave reads the output of iptables-save.
func parseSave(r io.Reader) (ruleset, error) {
	set := ruleset{}
	var t *saved
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxSaveLine)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case line == "" || line[0] == '#' || line == "COMMIT":
		case line[0] == '*':
			t = &saved{policies: map[string]string{}, rules: map[string][]string{}}
			set[line[1:]] = t
		case t == nil:
			return nil, fmt.Errorf("reading saved rules: %q stands outside a table", line)
		case line[0] == ':':
			name, rest, _ := strings.Cut(line[1:], " ")
			policy, _, _ := strings.Cut(rest, " ")
			t.policies[name] = policy
			t.order = append(t.order, name)
		default:
			name, rule, ok := strings.Cut(strings.TrimPrefix(line, "-A "), " ")
			if !ok && !strings.HasPrefix(line, "-A ") {
				return nil, fmt.Errorf("reading saved rules: %q is neither chain nor rule", line)
			}
			t.rules[name] = append(t.rules[name], rule)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading saved rules: %w", err)
	}
	return set, nil
}

// has tells whether the chain exists.
func (t *saved) has(chain string) bool {
	return t != nil && t.policies[chain] != ""
}

// ours returns the names of the chains that are ours by name, whichever run made them.
func (t *saved) ours() []string {
	if t == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(t.order), func(c string) bool { return !strings.HasPrefix(c, prefix) })
}

// leads tells whether the printed rule jumps or goes to the chain.
func leads(rule, chain string) bool {
	if !strings.Contains(rule, chain) {
		return false
	}
	words := words(rule)
	for i, w := range words[:max(0, len(words)-1)] {
		if (w == "-j" || w == "-g") && words[i+1] == chain {
			return true
		}
	}
	return false
}

// words splits a printed rule, undoing the quotes.
func words(rule string) spec {
	var out spec
	for {
		rule = strings.TrimLeft(rule, " ")
		if rule == "" {
			return out
		}
		var w string
		w, rule = word(rule)
		out = append(out, w)
	}
}

// word cuts the first word off, up to a space outside quotes.
func word(rule string) (first, rest string) {
	if i := strings.IndexAny(rule, ` "`); i < 0 {
		return rule, ""
	} else if rule[i] == ' ' {
		return rule[:i], rule[i:]
	}
	var b strings.Builder
	quoted := false
	for i := 0; i < len(rule); i++ {
		switch c := rule[i]; {
		case c == '\\' && quoted && i+1 < len(rule):
			i++
			b.WriteByte(rule[i])
		case c == '"':
			quoted = !quoted
		case c == ' ' && !quoted:
			return b.String(), rule[i:]
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), ""
}

// comment returns the comment of a printed rule.
func comment(rule string) string {
	_, after, _ := strings.Cut(rule, "--comment ")
	first, _ := word(after)
	return first
}
