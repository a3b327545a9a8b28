package iptables

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ftpgate/ftpgate/firewall"
)

// install makes the family what the frame says: put in place, replaced, or removed.
func (f *family) install(frame firewall.Frame) error {
	wanted := frame.IPv6
	if f.is4 {
		wanted = frame.IPv4
	}
	switch {
	case !wanted && f.installed():
		return f.remove()
	case !wanted:
		return nil
	case f.installed():
		return f.replace(frame)
	}
	return f.create(frame)
}

// create builds the chains complete and hooks them last, the take-over last of all.
func (f *family) create(frame firewall.Frame) error {
	set, err := f.tools.read()
	if err != nil {
		return fmt.Errorf("looking for the host's rules: %w", err)
	}
	if _, err := f.expose(frame, set); err != nil {
		return err
	}
	tables := f.compose(frame, set)
	f.marks, f.frame = marksOf(frame), frame
	for _, t := range tables {
		if err := f.build(t); err != nil {
			return f.diagnose(err)
		}
	}
	f.tables = tables
	if slices.ContainsFunc(tables, func(t table) bool { return t.name == "nat" }) {
		if err := f.rehearse(); err != nil {
			return f.diagnose(err)
		}
	}
	for _, t := range tables {
		for _, j := range t.jumps {
			if err := f.insert(t.name, j); err != nil {
				return err
			}
		}
	}
	return f.learn()
}

// compose is the static part for a host that has these rules.
func (f *family) compose(frame firewall.Frame, set ruleset) []table {
	tables := f.static(frame, f.is4, f.exposed)
	for i := range tables {
		tables[i].lodge(set[tables[i].name])
	}
	return tables
}

func (f *family) build(t table) error {
	ipt, err := f.commands()
	if err != nil {
		return err
	}
	if err := f.note(t); err != nil {
		return err
	}
	for _, c := range t.chains {
		if err := ipt.NewChain(t.name, c.name); err != nil {
			return told("making chain "+c.name+" of table "+t.name, err)
		}
	}
	for _, c := range t.chains {
		for _, r := range c.rules {
			if err := ipt.Append(t.name, c.name, r...); err != nil {
				return told("filling chain "+c.name+" of table "+t.name, err)
			}
		}
	}
	return nil
}

// note remembers what of the host's table is not there yet, before we cause it to be made.
func (f *family) note(t table) error {
	if f.variant != NFT {
		return nil
	}
	m := f.made[t.name]
	if m == nil {
		m = &made{chains: map[string]bool{}}
		f.made[t.name] = m
	}
	for _, j := range t.jumps {
		if j.from == dockerUser {
			continue
		}
		missing, err := whatIsMissing(f.is4, t.name, j.from)
		if err != nil {
			return err
		}
		m.whole = m.whole || missing == madeTable
		m.chains[j.from] = m.chains[j.from] || missing != madeNothing
	}
	return nil
}

// origin is the comment of a jump: see nftbase.go.
func (f *family) origin(table, chain string) origin {
	switch m := f.made[table]; {
	case m != nil && m.whole:
		return madeTable
	case m != nil && m.chains[chain]:
		return madeChain
	}
	return madeNothing
}

// insert hooks one of our chains in the first place, where it stays wherever others push it, or behind the host's own
// rules.
func (f *family) insert(table string, j jump) error {
	ipt, err := f.commands()
	if err != nil {
		return err
	}
	at := 1
	if j.late {
		set, err := f.tools.read()
		if err != nil {
			return fmt.Errorf("looking for the host's rules: %w", err)
		}
		at = set[table].behind(j.from)
	}
	if at == 0 {
		err = ipt.Append(table, j.from, f.jumpSpec(table, j)...)
	} else {
		err = ipt.Insert(table, j.from, at, f.jumpSpec(table, j)...)
	}
	if err != nil {
		return told(fmt.Sprintf("hooking %s into %s of table %s", j.to, j.from, table), err)
	}
	return nil
}

func (f *family) jumpSpec(table string, j jump) spec {
	s := append(spec{}, j.match...)
	return append(s, "-m", "comment", "--comment", string(f.origin(table, j.from)), "-j", j.to)
}

// rehearse puts the rules of a pinhole in place while no packet can meet them, so that a kernel without hashlimit or
// time is found out at the start and not by the first client.
func (f *family) rehearse() error {
	source, destination := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	if f.is4 {
		source, destination = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	}
	h := firewall.Hole{Expires: time.Now(), Pinhole: firewall.Pinhole{
		Interface:   "lo",
		Source:      source,
		Destination: netip.AddrPortFrom(destination, 1024),
		Target:      netip.AddrPortFrom(source, 1024),
		SourceAs:    destination,
	}}
	if err := f.tools.commit(rewrite([]firewall.Hole{h}, f.marks, f.run)); err != nil {
		return fmt.Errorf("trying a pinhole: %w", err)
	}
	return f.tools.commit(rewrite(nil, f.marks, f.run))
}

// replace exchanges the static part, table by table, each in one transaction, and keeps the pinholes.
func (f *family) replace(frame firewall.Frame) error {
	former, were := f.marks, f.tables
	set, err := f.tools.read()
	if err != nil {
		return fmt.Errorf("reading the rules: %w", err)
	}
	if _, err := f.expose(frame, set); err != nil {
		return err
	}
	tables := f.compose(frame, set)
	f.marks = marksOf(frame)
	for _, t := range tables {
		if err := f.fill(t); err != nil {
			f.marks = former
			return f.diagnose(err)
		}
	}
	f.tables, f.frame = tables, frame
	if set, err = f.tools.read(); err != nil {
		return fmt.Errorf("reading the rules back: %w", err)
	}
	if err := f.retire(were, set); err != nil {
		return err
	}
	if f.marks != former {
		f.normal.jumps = nil // they match another mark now
	}
	for _, t := range tables {
		if _, err := f.hook(t, set[t.name]); err != nil {
			return err
		}
	}
	return f.learn()
}

// retire removes the chains that a former frame needed and the present one does not, and those of the host that were made
// for them.
func (f *family) retire(were []table, set ruleset) error {
	for _, was := range were {
		var gone []string
		i := slices.IndexFunc(f.tables, func(t table) bool { return t.name == was.name })
		for _, c := range was.chains {
			if set[was.name].has(c.name) && !slices.ContainsFunc(f.tables[i].chains, func(is chain) bool { return is.name == c.name }) {
				gone = append(gone, c.name)
			}
		}
		if len(gone) == 0 {
			continue
		}
		if _, err := f.unhookAll(was.name, set[was.name], gone); err != nil {
			return err
		}
		if err := f.tools.commit(demolish(was.name, gone)); err != nil {
			return fmt.Errorf("removing chains of a former configuration from table %s: %w", was.name, err)
		}
		made := f.made[was.name]
		if f.variant != NFT || made == nil {
			continue
		}
		unused := map[string]bool{}
		for _, j := range was.jumps {
			if made.chains[j.from] && !slices.ContainsFunc(f.tables[i].jumps, func(is jump) bool { return is.from == j.from }) {
				unused[j.from] = true
				delete(made.chains, j.from)
			}
		}
		if err := unmake(f.is4, was.name, unused, false); err != nil {
			return err
		}
	}
	return nil
}

// fill writes everything in our chains of a table anew, in one transaction; chains that are missing are made.
func (f *family) fill(t table) error {
	if err := f.note(t); err != nil {
		return err
	}
	if err := f.tools.commit(contents(t, inOrder(f.holes), f.marks, f.run)); err != nil {
		return fmt.Errorf("writing our chains of table %s: %w", t.name, err)
	}
	if t.name == "nat" {
		f.doubt = false
	}
	return nil
}
