package iptables

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ftpgate/ftpgate/firewall"
)

// removal is the order in which tables are left: nothing is taken over any more, then the rest.
var removal = [...]string{"mangle", "filter", "nat"}

// Clean removes what any run of the backend has left, and nothing else. A host without iptables is clean.
func Clean() error {
	found, _, err := host{locate, legacyInUse}.suites()
	if errors.Is(err, ErrNoProgram) {
		return nil
	}
	if err != nil {
		return err
	}
	return sweep(found)
}

// sweep removes what an earlier run has left, in both variants and families. It makes no table: iptables-legacy is run
// only where the namespace has legacy tables.
func sweep(found map[Variant]suite) error {
	var errs []error
	for _, v := range []Variant{NFT, Legacy} {
		s, ok := found[v]
		for _, is4 := range []bool{true, false} {
			t := s.family(is4)
			if !ok || t.save == "" || v == Legacy && !legacyInUse(is4) {
				continue
			}
			if err := newFamily(is4, v, t, "").remove(); err != nil {
				errs = append(errs, fmt.Errorf("removing leftovers from iptables-%s: %w", v, err))
			}
		}
	}
	return errors.Join(errs...)
}

// remove takes everything of ours out of the family, whichever run put it there, and goes by what the host has rather
// than by what we remember. A failure in one table does not keep the others.
func (f *family) remove() error {
	set, err := f.tools.read()
	if err != nil {
		return fmt.Errorf("reading the rules: %w", err)
	}
	var errs []error
	for _, name := range removal {
		if err := f.removeTable(name, set[name]); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		f.tables, f.normal, f.doubt = nil, normal{}, false
		f.made = map[string]*made{}
		f.holes = map[uint64]firewall.Hole{}
	}
	return errors.Join(errs...)
}

func (f *family) removeTable(name string, have *saved) error {
	chains := have.ours()
	if len(chains) > 0 {
		marks, err := f.unhookAll(name, have, chains)
		if err != nil {
			return err
		}
		if err := f.tools.commit(demolish(name, chains)); err != nil {
			return fmt.Errorf("removing our chains of table %s: %w", name, err)
		}
		f.remember(name, marks)
		if f.variant == NFT && len(marks) == 0 && !f.installed() {
			// A run that crashed before its first jump: the table is its own if nothing is left in it.
			if err := deleteTable(f.is4, name); err != nil {
				return err
			}
		}
	}
	m := f.made[name]
	if f.variant != NFT || m == nil {
		return nil
	}
	return unmake(f.is4, name, m.chains, m.whole)
}

// unhookAll deletes every rule that leads to one of our chains and returns the comments by chain.
func (f *family) unhookAll(table string, have *saved, chains []string) (marks map[string]string, err error) {
	marks = map[string]string{}
	for _, from := range have.order {
		if strings.HasPrefix(from, prefix) {
			continue
		}
		for _, r := range have.rules[from] {
			if !slices.ContainsFunc(chains, func(c string) bool { return leads(r, c) }) {
				continue
			}
			marks[from] = comment(r)
			if err := f.unhook(table, from, r); err != nil {
				return nil, err
			}
		}
	}
	return marks, nil
}

// remember takes from the comments of our jumps what a run that crashed had caused to be made.
func (f *family) remember(table string, marks map[string]string) {
	m := f.made[table]
	if m == nil {
		m = &made{chains: map[string]bool{}}
		f.made[table] = m
	}
	for chain, c := range marks {
		switch origin(c) {
		case madeTable:
			m.whole = true
		case madeChain:
			m.chains[chain] = true
		}
	}
}

// demolish deletes the chains, emptied first since they lead to each other.
func demolish(table string, chains []string) string {
	s := newScript(table)
	for _, c := range chains {
		s.line("-F", c, nil)
	}
	for _, c := range chains {
		s.line("-X", c, nil)
	}
	return s.String()
}
