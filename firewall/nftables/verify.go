package nftables

import (
	"fmt"
	"slices"
	"time"

	"github.com/ftpgate/ftpgate/firewall"
)

// Verify implements firewall.Backend. It costs one question to the kernel as long as nobody has changed anything, and on
// a host with rules of iptables-legacy one iptables-save per family.
func (b *Backend) Verify(holes []firewall.Hole) (repaired []string, err error) {
	if !b.installed() {
		return nil, ErrNotInstalled
	}
	generation, err := b.on.generation()
	if err != nil {
		return nil, err
	}
	// Rules of iptables-legacy change without a generation, and the guard goes by them.
	repaired, err = b.restore(generation != b.known || b.frame.Gateway.Forward && b.filter.Legacy())
	repaired = append(b.told, repaired...)
	b.told = nil
	if err != nil {
		return repaired, err
	}
	return repaired, b.reconcile(holes)
}

// restore puts everything but the pinholes of the future in place again.
func (b *Backend) restore(changed bool) (repaired []string, err error) {
	repaired, err = b.filter.Verify(changed)
	if err != nil || !changed && len(repaired) == 0 {
		return repaired, err
	}
	found, err := b.repair()
	return append(repaired, found...), err
}

// repair looks at everything in nf_tables and puts right what is wrong, in one transaction.
func (b *Backend) repair() (damage []string, err error) {
	b.known = 0
	l, spots, err := b.look(b.frame)
	if err != nil {
		return nil, err
	}
	t := newBatch()
	damage = admission(t, b.frame, spots, b.lines)
	for _, f := range b.families {
		if !f.installed {
			continue
		}
		found, err := b.repairFamily(t, l, f)
		for _, what := range found {
			damage = append(damage, fmt.Sprintf("%s %s", f, what))
		}
		if err != nil {
			return damage, err
		}
	}
	if len(damage) == 0 {
		b.known = l.generation // of before the look: what came meanwhile will be seen
		return nil, nil
	}
	if err := b.commit(t); err != nil {
		return damage, fmt.Errorf("repairing: %w", err)
	}
	return damage, b.learn(l)
}

func (b *Backend) repairFamily(t *batch, l *landscape, f *family) (damage []string, err error) {
	is, err := f.read(b.on)
	if err != nil {
		return nil, err
	}
	damage, rulesOnly := f.compare(is)
	if !slices.Equal(f.exposed, f.guarded) {
		damage = append(damage, fmt.Sprintf("the host's own rules now leave %q open", f.exposed))
	}
	_, there := l.tables[tableID{f.family(), tableName}]
	switch {
	case !rulesOnly && there:
		f.dropTable(t)
		fallthrough
	case !rulesOnly:
		f.create(t, b.frame, *f.writer(t))
		return damage, nil
	case len(damage) > 0:
		f.rewrite(t, b.frame)
	}
	now := time.Now()
	s, err := f.audit(b.on, now)
	if err != nil {
		return damage, err
	}
	s.mend(f.writer(t))
	return append(damage, s.damage()...), nil
}

// reconcile makes the holes exactly those that should be there, where our books say other.
func (b *Backend) reconcile(holes []firewall.Hole) error {
	var open, shut []firewall.Hole
	known := 0
	for _, h := range holes {
		switch f := b.familyOf(h); {
		case f.holes[h.ID] != nil:
			known++
		case f.installed:
			open = append(open, h)
		}
	}
	if known < len(b.families[0].holes)+len(b.families[1].holes) {
		shut = b.unknown(holes)
	}
	if len(open) == 0 && len(shut) == 0 {
		return nil
	}
	if err := b.Apply(open, shut); err != nil {
		return fmt.Errorf("bringing the pinholes up to date: %w", err)
	}
	return nil
}

// unknown returns what our books hold beside the holes.
func (b *Backend) unknown(holes []firewall.Hole) (beside []firewall.Hole) {
	wanted := make(map[uint64]bool, len(holes))
	for _, h := range holes {
		wanted[h.ID] = true
	}
	for _, f := range b.families {
		for id, h := range f.holes {
			if !wanted[id] {
				beside = append(beside, h.Hole)
			}
		}
	}
	return beside
}
