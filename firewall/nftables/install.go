package nftables

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/firewall/iptables"
)

// Install implements firewall.Backend. What concerns nf_tables is one transaction: leftovers go, the tables and the
// lines in the host's chains come.
func (b *Backend) Install(f firewall.Frame) error {
	if err := f.Validate(); err != nil {
		return err
	}
	if err := b.connect(); err != nil {
		return err
	}
	if !b.installed() {
		if err := iptables.Clean(); err != nil {
			return err
		}
	}
	b.known = 0
	generation, err := b.on.generation()
	if err != nil {
		return err
	}
	if err := b.filter.Install(f); err != nil {
		return err
	}
	l, spots, err := b.look(f)
	if err != nil {
		return err
	}
	t := newBatch()
	for _, c := range l.base {
		if c.ours() != nil && !slices.ContainsFunc(spots, func(s spot) bool { return s.chainID == c.chainID }) {
			c.unline(t)
		}
	}
	for _, s := range spots {
		s.enline(t, f)
	}
	wanted := [2]bool{f.IPv4, f.IPv6}
	for i, fam := range b.families {
		if err := fam.install(t, l, f, wanted[i], b.on); err != nil {
			return err
		}
	}
	if err := b.commit(t); err != nil {
		return diagnose(f, fmt.Errorf("installing: %w", err))
	}
	b.frame = f
	for i, fam := range b.families {
		if fam.installed = wanted[i]; !wanted[i] {
			fam.forget()
		}
	}
	if err := b.learn(l, generation); err != nil {
		return err
	}
	_, err = b.calm()
	return err
}

// install adds what makes the family what the frame says. Sets that are in order stay, with the pinholes in them.
func (f *family) install(t *batch, l *landscape, frame firewall.Frame, wanted bool, on *wire) error {
	_, there := l.tables[tableID{f.family(), tableName}]
	if there && wanted && f.installed {
		is, err := f.read(on)
		if err != nil {
			return err
		}
		if _, rulesOnly := f.compare(is); rulesOnly {
			f.rewrite(t, frame)
			return nil
		}
	}
	if there {
		f.dropTable(t)
	}
	if wanted {
		f.create(t, frame, *f.writer(t))
	}
	return nil
}

// look surveys the host and finds the chains in which our lines belong.
func (b *Backend) look(f firewall.Frame) (*landscape, []spot, error) {
	l, err := survey(b.on)
	if err != nil {
		return nil, nil, err
	}
	var shown [2]map[string]bool // tables that iptables shows, which is only asked if need be
	iptables := func(c chainID) bool {
		i := slices.Index([]byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6}, c.family)
		if i < 0 || c.name != "FORWARD" && c.name != "INPUT" {
			return false
		}
		if shown[i] == nil {
			names, e := b.filter.Tables(i == 0)
			err = errors.Join(err, e)
			shown[i] = names
		}
		return shown[i][c.tableID.name]
	}
	spots, refused := l.spots(f, iptables)
	if err = errors.Join(err, refused); err != nil {
		return nil, nil, err
	}
	return l, spots, b.expose(l, f)
}

// expose finds the interfaces of the WAN that the host's own rules, of whichever program, leave open.
func (b *Backend) expose(l *landscape, f firewall.Frame) error {
	for _, fam := range b.families {
		fam.exposed = nil
		if !f.Gateway.Forward {
			continue
		}
		for _, name := range f.Gateway.WAN {
			closed, err := b.filter.Closes(fam.four, name)
			if err != nil {
				return err
			}
			if !closed && !l.closes(fam.family(), name) {
				fam.exposed = append(fam.exposed, name)
			}
		}
	}
	return nil
}

// learn reads back what has been written, in one transaction after former was seen, and that after iptables had looked at
// the generation: the kernel shows it in its own words, with the handles that it gave.
func (b *Backend) learn(former *landscape, generation uint32) error {
	b.known = 0
	var written [2]int // rules; the look finds what the host leaves open by now, and they go by what it left open then
	for i, f := range b.families {
		f.guarded = f.exposed
		for _, c := range f.static(b.frame) {
			written[i] += len(c.rules)
		}
	}
	l, spots, err := b.look(b.frame)
	if err != nil {
		return err
	}
	complete := true
	b.lines = map[chainID][]string{}
	for _, s := range spots {
		b.lines[s.chainID] = s.ours()
		complete = complete && len(s.ours()) == len(lines(b.frame, s.hostChain))
	}
	for i, f := range b.families {
		if !f.installed {
			continue
		}
		is, err := f.read(b.on)
		if err != nil {
			return fmt.Errorf("reading our table back: %w", err)
		}
		if n := len(is[partRules]); n != written[i] {
			return fmt.Errorf("reading our table back: it has %d rules instead of %d; does another program write it?", n, written[i])
		}
		f.normal = is
	}
	switch {
	case !complete: // a chain of the host was written meanwhile
		b.lines = nil
	case former.generation == generation && l.generation == generation+1: // else somebody else was there too
		b.known = l.generation
	}
	return nil
}

// learnLayers reads back the rules after sets of pinholes were added. The pinholes are open, so that a failure is left to
// Verify.
func (b *Backend) learnLayers() {
	for _, f := range b.families {
		if f.layers == f.undo.layers {
			continue
		}
		f.guarded = f.exposed
		is, err := f.read(b.on)
		if err != nil {
			b.known = 0
			continue
		}
		f.normal[partSets], f.normal[partRules] = is[partSets], is[partRules]
	}
}
