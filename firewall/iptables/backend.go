// Package iptables is the firewall.Backend for hosts whose packet filter is made of iptables rules. Everything that it
// does can be read with iptables -S: chains named FTPGATE-*, one jump into each hooked chain, one to three rules per
// pinhole in table nat, each with a comment.
//
// What stands for the life of the daemon is put in place by github.com/coreos/go-iptables. Pinholes, which a client
// waits for, go by one iptables-restore per family and transaction.
package iptables

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/ftpgate/ftpgate/firewall"
)

// ErrNotInstalled is what Apply and Verify return before Install.
var ErrNotInstalled = errors.New("the static rules are not installed")

// Options of the backend.
type Options struct {
	Variant Variant // "": Auto
}

// Backend implements firewall.Backend.
type Backend struct {
	choice   Choice
	suites   map[Variant]suite
	families [2]*family // IPv4, IPv6
}

// New finds the programs and the variant. It changes nothing on the host.
func New(o Options) (*Backend, error) {
	choice, found, err := host{locate, legacyInUse}.choose(o.Variant)
	if err != nil {
		return nil, err
	}
	b := &Backend{choice: choice, suites: found}
	name := fmt.Sprintf("%04x", rand.Uint32()&0xffff)
	for i, is4 := range []bool{true, false} {
		fam := newFamily(is4, choice.Variant, found[choice.Variant].family(is4), name)
		fam.other, fam.guards = found[choice.Variant.other()].family(is4), true
		b.families[i] = fam
	}
	return b, nil
}

// Name is "iptables (nf_tables)" or "iptables (legacy)", as iptables --version puts it.
func (b *Backend) Name() string {
	if b.choice.Variant == NFT {
		return "iptables (nf_tables)"
	}
	return "iptables (legacy)"
}

// Choice tells which variant is used and why.
func (b *Backend) Choice() Choice { return b.choice }

// Install implements firewall.Backend. On iptables-legacy a table that was not in use before stays listed, empty, after
// Remove, until its kernel module is unloaded.
func (b *Backend) Install(f firewall.Frame) error {
	if err := f.Validate(); err != nil {
		return err
	}
	if !b.families[0].installed() && !b.families[1].installed() {
		if err := sweep(b.suites); err != nil {
			return err
		}
	}
	for _, fam := range b.families {
		if err := fam.install(f); err != nil {
			return fmt.Errorf("%s: %w", fam, err)
		}
	}
	return nil
}

// Apply implements firewall.Backend. Each family is one transaction; if the second fails, the first is undone.
func (b *Backend) Apply(open, shut []firewall.Hole) error {
	for i, fam := range b.families {
		err := fam.apply(fam.own(open), fam.own(shut))
		if err == nil {
			continue
		}
		err = fmt.Errorf("%s: %w", fam, err)
		for _, done := range b.families[:i] {
			err = errors.Join(err, done.apply(nil, done.own(open)))
		}
		return err
	}
	return nil
}

// Verify implements firewall.Backend. It costs one iptables-save per family as long as all is well.
func (b *Backend) Verify(open []firewall.Hole) (found firewall.Found, err error) {
	var errs []error
	for _, fam := range b.families {
		if !fam.installed() {
			continue
		}
		of, err := fam.verify(fam.own(open))
		found.Add(fmt.Sprintf("%s ", fam), of)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", fam, err))
		}
	}
	return found, errors.Join(errs...)
}

// Remove implements firewall.Backend.
func (b *Backend) Remove() error {
	var errs []error
	for _, fam := range b.families {
		if fam.tools.save == "" || b.choice.Variant == Legacy && !legacyInUse(fam.is4) {
			continue
		}
		if err := fam.remove(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", fam, err))
		}
	}
	return errors.Join(errs...)
}

// own returns the holes of the family, oldest first.
func (f *family) own(holes []firewall.Hole) []firewall.Hole {
	var own []firewall.Hole
	for _, h := range holes {
		if h.Is4() == f.is4 {
			own = append(own, h)
		}
	}
	slices.SortFunc(own, func(a, b firewall.Hole) int { return cmp.Compare(a.ID, b.ID) })
	return own
}
