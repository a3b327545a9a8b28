package iptables

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	goiptables "github.com/coreos/go-iptables/iptables"

	"github.com/ftpgate/ftpgate/firewall"
)

// Removing k of n pinholes can be done by k deletions, each of which searches all n, or by writing the rest anew in one
// transaction. iptables-legacy replaces the whole table either way, so that only the text counts; iptables-nft compares
// rule by rule, and deleting 32 of 1,000 takes it twice as long as writing 1,000.
const (
	rewriteLegacy = 1
	rewriteNFT    = 64
)

// family is what the backend has in one of IPv4 and IPv6.
type family struct {
	is4     bool
	variant Variant
	tools   tools
	run     string // this run's name, in the names of kernel buckets
	static  func(f firewall.Frame, is4 bool, exposed []string) []table
	other   tools // of the other variant, where the host has it
	guards  bool  // the static part goes by what the host's rules leave open

	frame   firewall.Frame // what is installed
	exposed []string       // interfaces of the WAN that the host's own rules leave open

	ipt    *goiptables.IPTables // nil until needed
	marks  marks
	tables []table                  // what is installed; nil: nothing
	holes  map[uint64]firewall.Hole // what is open
	doubt  bool                     // a transaction failed: what the dynamic chains hold is not known
	normal normal                   // the static part in the words of iptables-save
	made   map[string]*made         // by table: what exists because of us
}

// made is what iptables-nft made in a table since we needed it.
type made struct {
	whole  bool            // the table itself
	chains map[string]bool // built-in chains
}

func newFamily(is4 bool, v Variant, t tools, run string) *family {
	return &family{is4: is4, variant: v, tools: t, run: run, static: static,
		holes: map[uint64]firewall.Hole{}, made: map[string]*made{}}
}

func (f *family) String() string {
	if f.is4 {
		return "IPv4"
	}
	return "IPv6"
}

func (f *family) installed() bool { return f.tables != nil }

// commands returns the go-iptables of the family.
func (f *family) commands() (*goiptables.IPTables, error) {
	if f.ipt != nil {
		return f.ipt, nil
	}
	if f.tools.command == "" {
		return nil, fmt.Errorf("%s rules of iptables-%s: %w", f, f.variant, ErrNoProgram)
	}
	proto := goiptables.ProtocolIPv6
	if f.is4 {
		proto = goiptables.ProtocolIPv4
	}
	ipt, err := goiptables.New(goiptables.Path(f.tools.command), goiptables.IPFamily(proto), goiptables.Timeout(lockWait))
	if err != nil {
		return nil, fmt.Errorf("preparing %s: %w", f.tools.command, err)
	}
	f.ipt = ipt
	return ipt, nil
}

// apply opens and shuts holes of this family in one transaction.
func (f *family) apply(open, shut []firewall.Hole) error {
	if !f.installed() {
		if len(open) > 0 {
			return ErrNotInstalled
		}
		return nil
	}
	shut = slices.DeleteFunc(shut, func(h firewall.Hole) bool { _, ok := f.holes[h.ID]; return !ok })
	if len(open) == 0 && len(shut) == 0 {
		return nil
	}
	after := maps.Clone(f.holes)
	for _, h := range shut {
		delete(after, h.ID)
	}
	wholly := f.doubt || len(shut) > 0 && len(after) <= len(shut)*f.rewriteFactor()
	for _, h := range open {
		after[h.ID] = h
	}
	err := f.write(open, shut, after, wholly)
	if err != nil && !wholly && len(shut) > 0 && !errors.Is(err, firewall.ErrUnavailable) {
		// A rule to be deleted may be gone already.
		err = f.write(open, shut, after, true)
	}
	f.doubt = err != nil
	if err == nil {
		f.holes = after
	}
	return err
}

func (f *family) rewriteFactor() int {
	if f.variant == NFT {
		return rewriteNFT
	}
	return rewriteLegacy
}

func (f *family) write(open, shut []firewall.Hole, after map[uint64]firewall.Hole, wholly bool) error {
	if wholly {
		return f.tools.commit(rewrite(inOrder(after), f.marks, f.run))
	}
	return f.tools.commit(change(open, shut, f.marks, f.run))
}

func inOrder(holes map[uint64]firewall.Hole) []firewall.Hole {
	return slices.SortedFunc(maps.Values(holes), func(a, b firewall.Hole) int { return cmp.Compare(a.ID, b.ID) })
}
