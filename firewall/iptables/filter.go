package iptables

import (
	"errors"
	"fmt"

	"github.com/ftpgate/ftpgate/firewall"
)

// Filter is what another backend needs of this one: chains FTPGATE-FORWARD and FTPGATE-INPUT, each with one jump, by
// which the host's own iptables rules let pass what bears the marks of a frame. They stand in each variant and family
// in which the host filters, and only there.
type Filter struct {
	suites   map[Variant]suite
	families []*family
	frame    *firewall.Frame // nil: not installed
}

// NewFilter finds the programs. On a host without iptables there are no rules of it to pass, so that this is no error.
func NewFilter() (*Filter, error) {
	found, _, err := host{locate, legacyInUse}.suites()
	if err != nil && !errors.Is(err, ErrNoProgram) {
		return nil, err
	}
	f := &Filter{suites: found}
	for _, v := range []Variant{NFT, Legacy} {
		s, ok := found[v]
		if !ok {
			continue
		}
		for _, is4 := range []bool{true, false} {
			if t := s.family(is4); t.save != "" {
				fam := newFamily(is4, v, t, "")
				fam.static = onlyFilter
				f.families = append(f.families, fam)
			}
		}
	}
	return f, nil
}

// onlyFilter guards nothing: the other backend does.
func onlyFilter(f firewall.Frame, _ bool, _ []string) []table {
	return []table{filterTable(f, marksOf(f), nil)}
}

// Reachable reports rules that could not be passed: the namespace has tables of iptables-legacy, but not its programs.
func (f *Filter) Reachable() error {
	for _, is4 := range []bool{true, false} {
		if legacyInUse(is4) && f.suites[Legacy].family(is4).save == "" {
			return fmt.Errorf("the host has tables of iptables-legacy, which its programs are needed for: %w", ErrNoProgram)
		}
	}
	return nil
}

// Tables names the tables of nf_tables that iptables shows, and so nobody else should write.
func (f *Filter) Tables(is4 bool) (names map[string]bool, err error) {
	names = map[string]bool{}
	for _, fam := range f.families {
		if fam.variant != NFT || fam.is4 != is4 {
			continue
		}
		set, err := fam.tools.read()
		if err != nil {
			return nil, fmt.Errorf("looking for the host's rules: %w", err)
		}
		for name := range set {
			names[name] = true
		}
	}
	return names, nil
}

// Install puts the chains in place or replaces them. Leftovers are not looked for: see Clean.
func (f *Filter) Install(frame firewall.Frame) error {
	if err := f.Reachable(); err != nil {
		return err
	}
	f.frame = &frame
	for _, fam := range f.families {
		if fam.installed() {
			if err := fam.install(frame); err != nil {
				return fmt.Errorf("iptables-%s, %s: %w", fam.variant, fam, err)
			}
		}
	}
	_, err := f.Verify(true)
	return err
}

// Verify compares and repairs, and follows the host to where it filters now. Rules of iptables-nft are only looked at
// if something in nf_tables has changed.
func (f *Filter) Verify(changed bool) (found firewall.Found, err error) {
	if f.frame == nil {
		return found, ErrNotInstalled
	}
	var errs []error
	for _, fam := range f.families {
		wanted := fam.is4 && f.frame.IPv4 || !fam.is4 && f.frame.IPv6
		if !wanted || fam.variant == NFT && !changed || fam.variant == Legacy && !legacyInUse(fam.is4) {
			continue
		}
		of, err := fam.admit(*f.frame)
		found.Add(fmt.Sprintf("iptables-%s, %s: ", fam.variant, fam), of)
		if err != nil {
			errs = append(errs, fmt.Errorf("iptables-%s, %s: %w", fam.variant, fam, err))
		}
	}
	return found, errors.Join(errs...)
}

// admit puts the chains in place where the host filters, or verifies them.
func (f *family) admit(frame firewall.Frame) (found firewall.Found, err error) {
	if f.installed() {
		return f.verify(nil)
	}
	set, err := f.tools.read()
	if err != nil {
		return found, fmt.Errorf("looking for the host's rules: %w", err)
	}
	var e evidence
	e.add(set)
	if e.filter == 0 {
		return found, nil
	}
	found.Followed = []string{"the table filter is new, or filters now: it has our chains"}
	return found, f.create(frame)
}

// Remove implements the same promise as Backend.Remove.
func (f *Filter) Remove() error {
	var errs []error
	for _, fam := range f.families {
		if fam.variant == Legacy && !legacyInUse(fam.is4) {
			continue
		}
		if err := fam.remove(); err != nil {
			errs = append(errs, fmt.Errorf("iptables-%s, %s: %w", fam.variant, fam, err))
		}
	}
	f.frame = nil
	return errors.Join(errs...)
}
