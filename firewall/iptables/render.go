package iptables

import (
	"strings"

	"github.com/ftpgate/ftpgate/firewall"
)

// script is one transaction of iptables-restore --noflush on one table. Until COMMIT nothing happens.
type script struct{ b strings.Builder }

func newScript(table string) *script {
	s := &script{}
	s.b.WriteString("*" + table + "\n")
	return s
}

// clear makes the chain exist and be empty.
func (s *script) clear(chain string) { s.b.WriteString(":" + chain + " - [0:0]\n") }

func (s *script) line(command, chain string, rule spec) {
	s.b.WriteString(command)
	s.b.WriteByte(' ')
	s.b.WriteString(chain)
	for _, word := range rule {
		s.b.WriteByte(' ')
		s.b.WriteString(quote(word))
	}
	s.b.WriteByte('\n')
}

func (s *script) String() string { return s.b.String() + "COMMIT\n" }

// quote writes a word as iptables-save does.
func quote(word string) string {
	if word != "" && !strings.ContainsAny(word, " \t\"'\\") {
		return word
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + `"`
}

// contents replaces everything in our chains of a table at once. The jumps of the host are not touched.
func contents(t table, holes []firewall.Hole, m marks, run string) string {
	s := newScript(t.name)
	for _, c := range t.chains {
		s.clear(c.name)
	}
	for _, c := range t.chains {
		for _, r := range c.rules {
			s.line("-A", c.name, r)
		}
	}
	if t.name == "nat" {
		for _, h := range holes {
			s.holes("-A", h, m, run)
		}
	}
	return s.String()
}

// change adds and deletes the rules of single holes; whatever else is in the chains stays.
func change(open, shut []firewall.Hole, m marks, run string) string {
	s := newScript("nat")
	for _, h := range shut {
		s.holes("-D", h, m, run)
	}
	for _, h := range open {
		s.holes("-A", h, m, run)
	}
	return s.String()
}

// rewrite replaces the rules of all holes at once.
func rewrite(holes []firewall.Hole, m marks, run string) string {
	s := newScript("nat")
	for _, c := range []string{chainGate, chainDNAT, chainSNAT} {
		s.clear(c)
	}
	for _, h := range holes {
		s.holes("-A", h, m, run)
	}
	return s.String()
}

func (s *script) holes(command string, h firewall.Hole, m marks, run string) {
	for _, r := range holeRules(h, m, run) {
		s.line(command, r.chain, r.spec)
	}
}
