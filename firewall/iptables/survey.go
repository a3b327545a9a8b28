package iptables

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// HostTable is one table as the host has it, ours included.
type HostTable struct {
	Variant Variant
	IPv4    bool
	Name    string // "filter"
	Program string // that writes it: "ip6tables-legacy"
	Chains  []HostChain
}

// HostChain is a chain with its rules as iptables-save prints them, without "-A chain".
type HostChain struct {
	Name   string
	Policy string // "ACCEPT" or "DROP" of a built-in chain, "-" of another
	Rules  []string
}

// Survey reads the tables of both variants and families and makes none. Its errors name what could not be read; the tables
// are good nevertheless. A host without iptables has no tables.
func Survey() (tables []HostTable, unread []error) {
	found, _, err := host{locate, legacyInUse}.suites()
	if err != nil && !errors.Is(err, ErrNoProgram) {
		return nil, []error{err}
	}
	for _, v := range []Variant{NFT, Legacy} {
		for _, is4 := range []bool{true, false} {
			t := found[v].family(is4)
			if v == Legacy {
				if err := Hidden(is4); err != nil {
					unread = append(unread, fmt.Errorf("tables of iptables-legacy: %w", err))
				}
			}
			if v == Legacy && !legacyInUse(is4) {
				continue
			}
			if t.save == "" {
				if v == Legacy {
					unread = append(unread, fmt.Errorf("tables of iptables-legacy: %w", ErrNoProgram))
				}
				continue
			}
			set, err := t.read()
			if err != nil {
				unread = append(unread, fmt.Errorf("iptables-%s: %w", v, err))
				continue
			}
			for name, s := range set {
				tables = append(tables, s.table(HostTable{Variant: v, IPv4: is4, Name: name, Program: filepath.Base(t.command)}))
			}
		}
	}
	slices.SortFunc(tables, func(a, b HostTable) int { // a map has lost their order
		return cmp.Or(cmp.Compare(b.Variant, a.Variant), cmp.Compare(a.Name, b.Name))
	})
	return tables, unread
}

func (t *saved) table(h HostTable) HostTable {
	for _, name := range t.order {
		h.Chains = append(h.Chains, HostChain{Name: name, Policy: t.policies[name], Rules: t.rules[name]})
	}
	return h
}

// Words splits a rule that iptables-save printed, undoing the quotes.
func Words(rule string) []string { return words(rule) }

// Ours tells whether a chain or rule is one of ours, of this run or another.
func Ours(chain, rule string) bool {
	return strings.HasPrefix(chain, prefix) || strings.HasPrefix(comment(rule), owned)
}
