package iptables

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	goiptables "github.com/coreos/go-iptables/iptables"

	"github.com/ftpgate/ftpgate/firewall"
)

// normal is our static part as iptables-save prints it. Its words differ from version to version, and from ours, so
// they are learnt right after the rules were written.
type normal struct {
	rules map[string]map[string][]string // by table and chain
	jumps map[[2]string]string           // by the names of the chain and of ours
}

// learn reads back what has been written.
func (f *family) learn() error {
	set, err := f.tools.read()
	if err != nil {
		return fmt.Errorf("reading the rules back: %w", err)
	}
	n := normal{rules: map[string]map[string][]string{}, jumps: map[[2]string]string{}}
	for _, t := range f.tables {
		have := set[t.name]
		if have == nil {
			return fmt.Errorf("reading the rules back: iptables does not show table %s; do rules of nft stand in it?", t.name)
		}
		n.rules[t.name] = map[string][]string{}
		for _, c := range t.chains {
			if c.dynamic {
				continue
			}
			if len(have.rules[c.name]) != len(c.rules) {
				return fmt.Errorf("reading the rules back: chain %s has %d rules instead of %d; does another program write it?",
					c.name, len(have.rules[c.name]), len(c.rules))
			}
			n.rules[t.name][c.name] = have.rules[c.name]
		}
		for _, j := range t.jumps {
			i := slices.IndexFunc(have.rules[j.from], func(r string) bool { return leads(r, j.to) })
			if i < 0 {
				return fmt.Errorf("reading the rules back: the jump to %s is gone already", j.to)
			}
			n.jumps[[2]string{j.from, j.to}] = have.rules[j.from][i]
		}
	}
	f.normal = n
	return nil
}

// verify compares, repairs and says what it found.
func (f *family) verify(open []firewall.Hole) (found firewall.Found, err error) {
	f.holes = make(map[uint64]firewall.Hole, len(open))
	for _, h := range open {
		f.holes[h.ID] = h
	}
	set, err := f.tools.read()
	if err != nil {
		return found, fmt.Errorf("reading the rules: %w", err)
	}
	moved, err := f.expose(f.frame, set)
	if err != nil {
		return found, err
	}
	if !set["filter"].has(dockerUser) {
		delete(f.normal.jumps, [2]string{dockerUser, chainForward}) // who makes it again makes another one
	}
	f.tables = f.compose(f.frame, set)
	for _, t := range f.tables {
		of := firewall.Found{Repaired: f.compare(t, set[t.name])}
		if moved && t.name == "filter" {
			of.Followed = []string{fmt.Sprintf("filter %s: the host's own rules now leave %q open", chainGateway, f.exposed)}
		}
		found.Add("", of)
		if of.Any() || f.doubt && t.name == "nat" {
			if err := f.fill(t); err != nil {
				return found, err
			}
		}
	}
	for _, t := range f.tables {
		hooks, err := f.hook(t, set[t.name])
		found.Add("", hooks)
		if err != nil {
			return found, err
		}
	}
	if found.Any() {
		// Also the words may have changed, if iptables was upgraded meanwhile.
		return found, f.learn()
	}
	return found, nil
}

// compare says what is wrong in our chains of a table.
func (f *family) compare(t table, have *saved) (damage []string) {
	for _, c := range t.chains {
		switch {
		case !have.has(c.name):
			damage = append(damage, t.name+" "+c.name+": missing")
		case c.dynamic:
			damage = append(damage, f.comparePinholes(t, c.name, have.rules[c.name])...)
		default:
			if is, want := have.rules[c.name], f.normal.rules[t.name][c.name]; !slices.Equal(is, want) {
				damage = append(damage, difference(c.name, t.name, len(is), len(want)))
			}
		}
	}
	return damage
}

func difference(chain, table string, is, want int) string {
	switch {
	case is == 0:
		return table + " " + chain + ": empty"
	case is != want:
		return fmt.Sprintf("%s %s: %d rules instead of %d", table, chain, is, want)
	}
	return table + " " + chain + ": other rules than ours"
}

// comparePinholes goes by the comments, which name the pinhole: its rules are younger than what was learnt.
func (f *family) comparePinholes(t table, chain string, have []string) []string {
	if f.doubt {
		return nil // it is written anew in any case, and nobody else is to blame
	}
	want := map[string]int{}
	for _, h := range f.holes {
		if n := rulesIn(chain, h); n > 0 {
			want[holeName(h)] += n
		}
	}
	foreign := 0
	for _, r := range have {
		if name := nameOf(comment(r)); want[name] > 0 {
			want[name]--
		} else {
			foreign++
		}
	}
	missing := 0
	for _, n := range want {
		missing += n
	}
	var damage []string
	if missing > 0 {
		damage = append(damage, fmt.Sprintf("%s %s: rules of %d pinholes missing", t.name, chain, missing))
	}
	if foreign > 0 {
		damage = append(damage, fmt.Sprintf("%s %s: %d rules of no pinhole", t.name, chain, foreign))
	}
	return damage
}

// nameOf cuts "ftpgate 17 session 4 until ..." after the number that makes it unique.
func nameOf(comment string) string {
	words := strings.SplitN(comment, " ", 3)
	return strings.Join(words[:min(2, len(words))], " ")
}

// hook sees to it that each jump of a table is there once, as it should be. Where in the chain is none of our business.
func (f *family) hook(t table, have *saved) (found firewall.Found, err error) {
	for _, j := range t.jumps {
		var is []string
		if have != nil {
			is = slices.DeleteFunc(slices.Clone(have.rules[j.from]), func(r string) bool { return !leads(r, j.to) })
		}
		want := f.normal.jumps[[2]string{j.from, j.to}]
		if len(is) == 1 && is[0] == want {
			if !j.late || !have.misplaced(j.from, slices.Index(have.rules[j.from], want)) {
				continue
			}
			if err := f.unhook(t.name, j.from, want); err != nil {
				return found, err
			}
			found.Followed = append(found.Followed, fmt.Sprintf("%s %s: the host's own rules did not come before the jump to %s any more", t.name, j.from, j.to))
			if err := f.rehook(t, j); err != nil {
				return found, err
			}
			continue
		}
		extra := is
		if i := slices.Index(is, want); i >= 0 && want != "" {
			extra = slices.Delete(slices.Clone(is), i, i+1)
		} else if err := f.rehook(t, j); err != nil {
			return found, err
		}
		switch {
		case len(is) == 0 && want == "":
			found.Followed = append(found.Followed, fmt.Sprintf("%s %s: the chain is there now, and has our jump to %s", t.name, j.from, j.to))
		case len(is) == 0:
			found.Repaired = append(found.Repaired, fmt.Sprintf("%s %s: jump to %s missing", t.name, j.from, j.to))
		default:
			found.Repaired = append(found.Repaired, fmt.Sprintf("%s %s: %d jumps to %s that are not ours", t.name, j.from, len(extra), j.to))
		}
		for _, r := range extra {
			if err := f.unhook(t.name, j.from, r); err != nil {
				return found, err
			}
		}
	}
	return found, nil
}

func (f *family) rehook(t table, j jump) error {
	if err := f.note(t); err != nil {
		return err
	}
	return f.insert(t.name, j)
}

// unhook deletes a rule of a chain of the host that leads to one of ours; that it is gone already is no error.
func (f *family) unhook(table, chain, rule string) error {
	ipt, err := f.commands()
	if err != nil {
		return err
	}
	err = ipt.Delete(table, chain, words(rule)...)
	var said *goiptables.Error
	if err == nil || errors.As(err, &said) && said.IsNotExist() {
		return nil
	}
	return told(fmt.Sprintf("unhooking our chain from %s of table %s", chain, table), err)
}
