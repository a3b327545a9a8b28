// Package nftables is the firewall.Backend for hosts whose kernel has nf_tables: it takes the same few microseconds to
// open a pinhole however many there are. A table of our own for each family, ip ftpgate and ip6 ftpgate, holds
// everything; nft list table ip ftpgate shows it. A pinhole is an element of a set, with a timeout that the kernel
// keeps, and at most two elements of maps that translate its connection.
//
// The host's own filter decides as well, and gets lines of ours: native chains one each, see lines.go, and
// iptables its chains FTPGATE-FORWARD and FTPGATE-INPUT, see iptables.Filter.
package nftables

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/firewall/iptables"
)

// ErrNotInstalled is what Apply and Verify return before Install.
var ErrNotInstalled = errors.New("the static rules are not installed")

// Backend implements firewall.Backend.
type Backend struct {
	on       *wire // nil: not needed yet, or no more
	filter   *iptables.Filter
	families [2]*family // IPv4, IPv6
	frame    firewall.Frame
	lines    map[chainID][]string // ours in chains of the host, as the kernel shows them

	// known is the generation of the host's nf_tables whose contents we know to be right: those of our last look, and
	// one more with each of our transactions. If the kernel counts the same, nobody has changed anything. 0: look, and open
	// nothing before.
	known uint32
}

// New returns a backend that has changed nothing on the host. See Probe for whether it can work.
func New() (*Backend, error) {
	filter, err := iptables.NewFilter()
	if err != nil {
		return nil, err
	}
	return &Backend{filter: filter, families: [2]*family{newFamily(true), newFamily(false)}}, nil
}

// Name implements firewall.Backend.
func (b *Backend) Name() string { return "nftables" }

// connect opens the lasting socket, in the network namespace of the thread.
func (b *Backend) connect() error {
	if b.on != nil {
		return nil
	}
	on, err := dial()
	if err != nil {
		return err
	}
	b.on = on
	return nil
}

func (b *Backend) installed() bool { return b.families[0].installed || b.families[1].installed }

// Apply implements firewall.Backend. Both families are one transaction. That nobody else has written rules since ours were
// seen in place costs no question: the kernel compares generations as it takes the transaction.
func (b *Backend) Apply(open, shut []firewall.Hole) error {
	for _, h := range open {
		if !b.familyOf(h).installed {
			return ErrNotInstalled
		}
	}
	if !b.installed() {
		return nil
	}
	if len(open) == 0 {
		return b.apply(nil, shut, anyGeneration)
	}
	if b.known == 0 {
		return firewall.ErrChanged
	}
	err := b.apply(open, shut, b.known)
	if errors.Is(err, unix.ERESTART) {
		b.known = 0
		return firewall.ErrChanged
	}
	return err
}

// apply is for the generation expected.
func (b *Backend) apply(open, shut []firewall.Hole, expected uint32) error {
	grown := false
	var come, gone [2][]element
	for i, f := range b.families {
		var err error
		if come[i], gone[i], err = f.plan(own(open, f.four), own(shut, f.four)); err != nil {
			b.families[0].takeBack()
			b.families[1].takeBack()
			return err
		}
		grown = grown || f.layers != f.undo.layers
	}
	err := b.write(come, gone, false, expected)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EBUSY) {
		// The kernel does not hold what our books say: somebody else has been here, or an element ended just now.
		err = b.write(come, gone, true, expected)
	}
	if len(open) == 0 && errors.Is(err, unix.ENOENT) {
		// What the elements stood in is gone. If the books kept them, a repair would bring them back.
		b.known = 0
		four, six := own(shut, true), own(shut, false)
		if len(four) > 0 && len(six) > 0 {
			b.families[0].takeBack()
			b.families[1].takeBack()
			return errors.Join(b.apply(nil, four, anyGeneration), b.apply(nil, six, anyGeneration))
		}
		err = nil
	}
	for _, f := range b.families {
		if err != nil {
			f.takeBack()
		} else {
			f.settle()
		}
	}
	if err == nil && grown {
		b.learnLayers()
	}
	return err
}

func (b *Backend) familyOf(h firewall.Hole) *family {
	if h.Is4() {
		return b.families[0]
	}
	return b.families[1]
}

// own returns the holes of a family.
func own(holes []firewall.Hole, four bool) []firewall.Hole {
	if !slices.ContainsFunc(holes, func(h firewall.Hole) bool { return h.Is4() != four }) {
		return holes
	}
	return slices.DeleteFunc(slices.Clone(holes), func(h firewall.Hole) bool { return h.Is4() != four })
}

func (b *Backend) write(come, gone [2][]element, tolerant bool, expected uint32) error {
	t := newBatch()
	t.expect(expected)
	for i, f := range b.families {
		if f.layers != f.undo.layers {
			f.createSets(t, f.undo.layers)
			f.rewrite(t, b.frame)
		}
		f.write(f.writer(t), come[i], gone[i], tolerant)
	}
	return b.commit(t)
}

func (w words) writer(t *batch) *writer {
	return &writer{batch: t, family: w.family(), table: tableName, now: time.Now()}
}

// commit is one transaction, which the kernel counts.
func (b *Backend) commit(t *batch) error {
	if t.empty() {
		return nil
	}
	err := b.on.commit(t)
	if err == nil && b.known != 0 {
		b.known++
	}
	return err
}

// Remove implements firewall.Backend.
func (b *Backend) Remove() error {
	if err := b.connect(); err != nil {
		return err
	}
	err := errors.Join(sweep(b.on), b.filter.Remove())
	if err != nil {
		return err
	}
	for _, f := range b.families {
		f.forget()
	}
	b.known, b.lines = 0, nil
	on := b.on
	b.on = nil
	return on.close()
}

// Clean removes what any run of the backend has left in the host's nf_tables, and nothing else. A kernel without
// nf_tables is clean.
func Clean() error {
	on, err := dial()
	if err != nil {
		if errors.Is(err, unix.EPROTONOSUPPORT) {
			return nil
		}
		return err
	}
	defer on.close()
	if _, err := on.generation(); errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return sweep(on)
}

// sweep removes our tables and our lines, whichever run made them, in one transaction.
func sweep(on *wire) error {
	var err error
	for range dumpTries {
		var l *landscape
		if l, err = survey(on); err != nil {
			return fmt.Errorf("removing our rules: %w", err)
		}
		t := newBatch()
		for _, c := range l.base {
			c.unline(t)
		}
		for _, four := range []bool{true, false} {
			w := words{four}
			if _, there := l.tables[tableID{w.family(), tableName}]; there {
				w.dropTable(t)
			}
		}
		if err = on.commit(t); !errors.Is(err, unix.ENOENT) { // ENOENT: somebody was quicker
			break
		}
	}
	if err != nil {
		return fmt.Errorf("removing our rules: %w", err)
	}
	return nil
}
