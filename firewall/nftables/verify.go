package nftables

import (
	"fmt"
	"slices"
	"time"

	"github.com/ftpgate/ftpgate/firewall"
)

// Verify implements firewall.Backend. It costs one question to the kernel as long as nobody has changed anything, and on
// a host with rules of iptables-legacy one iptables-save per family.
func (b *Backend) Verify(holes []firewall.Hole) (found firewall.Found, err error) {
	if !b.installed() {
		return found, ErrNotInstalled
	}
	generation, err := b.on.generation()
	if err != nil {
		b.known = 0
		return found, err
	}
	// Rules of iptables-legacy change without a generation, and the guard goes by them.
	found, err = b.restore(generation, generation != b.known || b.frame.Gateway.Forward && b.filter.Legacy())
	if err != nil {
		return found, err
	}
	more, err := b.calm()
	found.Add("", more)
	if err != nil {
		return found, err
	}
	return found, b.reconcile(holes)
}

// looks bounds how often it is looked again at a host whose rules change meanwhile, in the middle of a reload say.
const looks = 3

// calm looks again until nothing came between a look and what was written; if that does not come true, known stays 0.
func (b *Backend) calm() (found firewall.Found, err error) {
	for range looks - 1 {
		if b.known != 0 {
			break
		}
		generation, err := b.on.generation()
		if err != nil {
			return found, err
		}
		more, err := b.restore(generation, true)
		found.Add("", more)
		if err != nil {
			return found, err
		}
	}
	return found, nil
}

// restore puts everything but the pinholes of the future in place again. generation is that of before.
func (b *Backend) restore(generation uint32, changed bool) (found firewall.Found, err error) {
	found, err = b.filter.Verify(changed)
	if err != nil {
		b.known = 0
		return found, err
	}
	if !changed && !found.Any() {
		return found, nil
	}
	more, err := b.repair(generation)
	found.Add("", more)
	return found, err
}

// repair looks at everything in nf_tables and puts right what is wrong, in one transaction. The generation is that of before
// iptables looked.
func (b *Backend) repair(generation uint32) (found firewall.Found, err error) {
	b.known = 0
	l, spots, err := b.look(b.frame)
	if err != nil {
		return found, err
	}
	t := newBatch()
	for id := range b.lines {
		if l.chains[id] == nil { // who makes it again makes another one
			delete(b.lines, id)
		}
	}
	found = admission(t, b.frame, spots, b.lines)
	for _, f := range b.families {
		if !f.installed {
			continue
		}
		of, err := b.repairFamily(t, l, f)
		found.Add(fmt.Sprintf("%s ", f), of)
		if err != nil {
			return found, err
		}
	}
	if !found.Any() {
		if l.generation == generation { // else iptables has written, or somebody whose rules it has not seen
			b.known = generation
		}
		return found, nil
	}
	if err := b.commit(t); err != nil {
		return found, fmt.Errorf("repairing: %w", err)
	}
	return found, b.learn(l, generation)
}

func (b *Backend) repairFamily(t *batch, l *landscape, f *family) (found firewall.Found, err error) {
	is, err := f.read(b.on)
	if err != nil {
		return found, err
	}
	damage, rulesOnly := f.compare(is)
	found.Repaired = damage
	if !slices.Equal(f.exposed, f.guarded) {
		found.Followed = append(found.Followed, nowOpen(f.exposed))
	}
	_, there := l.tables[tableID{f.family(), tableName}]
	switch {
	case !rulesOnly && there:
		f.dropTable(t)
		fallthrough
	case !rulesOnly:
		f.create(t, b.frame, *f.writer(t))
		return found, nil
	case found.Any():
		f.rewrite(t, b.frame)
	}
	now := time.Now()
	s, err := f.audit(b.on, now)
	if err != nil {
		return found, err
	}
	s.mend(f.writer(t))
	found.Repaired = append(found.Repaired, s.damage()...)
	return found, nil
}

// nowOpen says what the host leaves to the guard.
func nowOpen(exposed []string) string {
	if len(exposed) == 0 {
		return "the host's own rules now close every interface of the WAN"
	}
	return fmt.Sprintf("the host's own rules now leave %q open", exposed)
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
	// They have been announced: what another program does meanwhile, the next look finds.
	if err := b.apply(open, shut, anyGeneration); err != nil {
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
