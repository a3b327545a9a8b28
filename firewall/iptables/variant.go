package iptables

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ftpgate/ftpgate/firewall"
)

// Variant is which of the two kernel interfaces the iptables programs speak. Rules of the one are not shown by the
// other, and each sees every packet.
type Variant string

const (
	Auto   Variant = "auto"   // the one that holds the host's rules
	NFT    Variant = "nft"    // nf_tables: iptables-nft
	Legacy Variant = "legacy" // ip_tables: iptables-legacy
)

func (v Variant) other() Variant {
	if v == NFT {
		return Legacy
	}
	return NFT
}

// Choice is the variant that is used, and why.
type Choice struct {
	Variant Variant
	Reason  string
	Warning string // "": all is well; else what the administrator should look at
}

// ErrNoProgram is wrapped when a program of iptables is missing.
var ErrNoProgram = errors.New("iptables is missing (Debian package: iptables)")

// legacyNames lists the legacy tables of this network namespace. A program of iptables-legacy would make the table it is
// asked for, so it is only run where one is listed. The path goes by the thread since a namespace belongs to a thread.
const legacyNames = "/proc/thread-self/net/ip%s_tables_names"

// host is what the choice depends on; tests have others.
type host struct {
	locate      func(program string) string // its path; "": not installed
	legacyInUse func(is4 bool) bool
}

// legacyInUse tells whether the namespace has legacy tables of the family.
func legacyInUse(is4 bool) bool {
	six := "6"
	if is4 {
		six = ""
	}
	names, err := os.ReadFile(fmt.Sprintf(legacyNames, six))
	return err == nil && len(bytes.TrimSpace(names)) > 0
}

// Hidden is the error of a thread that may not know which legacy tables there are; nil: it may.
func Hidden(is4 bool) error {
	six := "6"
	if is4 {
		six = ""
	}
	names, err := os.Open(fmt.Sprintf(legacyNames, six))
	switch {
	case err == nil:
		return names.Close()
	case errors.Is(err, fs.ErrPermission):
		return err
	}
	return nil // the kernel has none
}

// suite is the programs of one variant for both families; a family whose programs are missing has none.
type suite struct {
	variant Variant
	four    tools
	six     tools
}

func (s suite) family(is4 bool) tools {
	if is4 {
		return s.four
	}
	return s.six
}

// suites finds what is installed: by the name of the variant, or else behind the plain name.
func (h host) suites() (map[Variant]suite, Variant, error) {
	found := map[Variant]suite{}
	for _, v := range []Variant{NFT, Legacy} {
		if four, ok := h.find("iptables-" + string(v)); ok {
			six, _ := h.find("ip6tables-" + string(v))
			found[v] = suite{v, four, six}
		}
	}
	plain, ok := h.find("iptables")
	if !ok {
		if s, ok := found[NFT]; ok {
			return found, s.variant, nil
		}
		if s, ok := found[Legacy]; ok {
			return found, s.variant, nil
		}
		return nil, "", ErrNoProgram
	}
	standard, err := plain.version()
	if err != nil {
		return nil, "", fmt.Errorf("asking iptables for its version: %w", err)
	}
	if _, ok := found[standard]; !ok {
		six, _ := h.find("ip6tables")
		found[standard] = suite{standard, plain, six}
	}
	return found, standard, nil
}

// evidence is how many rules and policies of the host, not of ours, a variant holds.
type evidence struct {
	rules  int
	filter int // of these, those that decide about packets which ours must pass: INPUT and FORWARD
}

func (e *evidence) add(set ruleset) {
	for name, t := range set {
		for _, c := range t.order {
			n := 0
			if p := t.policies[c]; p != "ACCEPT" && p != "-" {
				n++
			}
			for _, r := range t.rules[c] {
				if !Ours(c, r) {
					n++
				}
			}
			e.rules += n
			if name == "filter" && (c == input || c == forward) {
				e.filter += n
			}
		}
	}
}

// witness asks a variant for the host's rules, without making any table.
func (h host) witness(s suite) (evidence, error) {
	var e evidence
	for _, is4 := range []bool{true, false} {
		t := s.family(is4)
		if t.save == "" || s.variant == Legacy && !h.legacyInUse(is4) {
			continue
		}
		set, err := t.read()
		if err != nil {
			return e, fmt.Errorf("looking for the host's rules: %w", err)
		}
		e.add(set)
	}
	return e, nil
}

// choose finds the variant to use among the installed ones.
func (h host) choose(wanted Variant) (Choice, map[Variant]suite, error) {
	found, standard, err := h.suites()
	if err != nil {
		return Choice{}, nil, err
	}
	switch wanted {
	case NFT, Legacy:
		if _, ok := found[wanted]; !ok {
			return Choice{}, nil, fmt.Errorf("iptables-%s was asked for: %w", wanted, ErrNoProgram)
		}
		return Choice{Variant: wanted, Reason: "the configuration says so"}, found, nil
	case Auto, "":
	default:
		return Choice{}, nil, fmt.Errorf("unknown variant %q of iptables: auto, nft or legacy", wanted)
	}
	choice, err := h.weigh(found, standard)
	return choice, found, err
}

// weigh asks all variants that are installed. One that does not work here leaves the map.
func (h host) weigh(found map[Variant]suite, standard Variant) (Choice, error) {
	held := map[Variant]evidence{}
	var broken error
	for v, s := range found {
		e, err := h.witness(s)
		if errors.Is(err, firewall.ErrUnavailable) {
			return Choice{}, err
		}
		if err != nil { // installed, but the kernel does not speak it
			broken = errors.Join(broken, fmt.Errorf("iptables-%s: %w", v, err))
			delete(found, v)
			continue
		}
		held[v] = e
	}
	if len(found) == 0 {
		return Choice{}, broken
	}
	if _, ok := found[standard]; !ok {
		for standard = range found { // the other one
		}
	}
	c := decide(held, standard)
	if broken != nil {
		c.Reason, c.Warning = "the other one does not work here", broken.Error()
	}
	return c, nil
}

// decide weighs what was found. standard is what the host's plain iptables speaks.
func decide(held map[Variant]evidence, standard Variant) Choice {
	nft, legacy := held[NFT], held[Legacy]
	switch {
	case nft.rules == 0 && legacy.rules == 0:
		return Choice{Variant: standard, Reason: "the host has no rules yet; its iptables command speaks this one"}
	case legacy.rules == 0:
		return Choice{Variant: NFT, Reason: fmt.Sprintf("it holds the host's %d rules", nft.rules)}
	case nft.rules == 0:
		return Choice{Variant: Legacy, Reason: fmt.Sprintf("it holds the host's %d rules", legacy.rules)}
	}
	c := Choice{Variant: standard, Reason: "both variants hold rules; the host's iptables command speaks this one"}
	switch {
	case nft.filter > 0 && legacy.filter == 0:
		c.Variant, c.Reason = NFT, "both variants hold rules; this one those of INPUT and FORWARD"
	case legacy.filter > 0 && nft.filter == 0:
		c.Variant, c.Reason = Legacy, "both variants hold rules; this one those of INPUT and FORWARD"
	}
	c.Warning = fmt.Sprintf("iptables-nft holds %d rules and iptables-legacy %d: every packet must pass both, "+
		"and what one of them drops the other cannot admit; move them into one", nft.rules, legacy.rules)
	return c
}
