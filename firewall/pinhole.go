// Package firewall keeps the host's packet filter in step with the data connections that sessions have negotiated.
//
// A [Pinhole] says which one TCP connection may pass and how it is translated. The [Manager] owns the set of pinholes:
// it gathers those that are wanted at the same moment, ends them when their life is over and repairs what other programs
// destroy. A [Backend] puts the set into the kernel.
package firewall

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// maxInterfaceName is IFNAMSIZ-1 of Linux: the longest name of an interface, in bytes.
const maxInterfaceName = 15

// ErrPinhole is wrapped by the errors of [Pinhole.Validate].
var ErrPinhole = errors.New("bad pinhole")

// Pinhole admits exactly one TCP connection, from one address that arrives by one interface, and says how the kernel
// translates it. All its addresses are of one family; zones are not carried, since Interface says the same.
type Pinhole struct {
	Interface   string         // the SYN must arrive on it
	Source      netip.Addr     // the only address admitted
	SourcePort  uint16         // 0: any; else required (20 for servers that must dial from ftp-data, RFC 959 §3.2)
	Destination netip.AddrPort // as dialled by Source
	Target      netip.AddrPort // where the connection is led (DNAT); zero: Destination itself, untranslated
	SourceAs    netip.Addr     // what Target sees as the source (SNAT); zero: Source. The source port is kept.
	Mark        uint32         // of the connection and of its first packet, for the host's routing, outside of Frame.Mask; 0: as the host marks it
	Session     uint64         // who asked, for the eyes of the administrator
}

// Hole is a Pinhole in the set of a Manager: with its number, which no other hole of this Manager ever has, and its end.
type Hole struct {
	Pinhole
	ID      uint64
	Expires time.Time
}

// Onward is where the connection goes after the destination has been translated.
func (p Pinhole) Onward() netip.AddrPort {
	if p.Target.IsValid() {
		return p.Target
	}
	return p.Destination
}

// Is4 tells the address family of the pinhole.
func (p Pinhole) Is4() bool { return p.Source.Is4() }

// Validate reports the first thing that keeps the pinhole from being exactly one connection of one family.
func (p Pinhole) Validate() error {
	if err := validInterface(p.Interface); err != nil {
		return fmt.Errorf("%w: %w", ErrPinhole, err)
	}
	if err := p.validPort("destination", p.Destination); err != nil {
		return err
	}
	if err := p.validAddr("source", p.Source); err != nil {
		return err
	}
	if p.Target != (netip.AddrPort{}) {
		if err := p.validPort("target", p.Target); err != nil {
			return err
		}
	}
	if p.SourceAs != (netip.Addr{}) {
		return p.validAddr("translated source", p.SourceAs)
	}
	return nil
}

func (p Pinhole) validPort(what string, a netip.AddrPort) error {
	if a.Port() == 0 {
		return fmt.Errorf("%w: the %s %s has no port", ErrPinhole, what, a)
	}
	return p.validAddr(what, a.Addr())
}

func (p Pinhole) validAddr(what string, a netip.Addr) error {
	switch {
	case !a.IsValid() || a.IsUnspecified() || a.IsMulticast():
		return fmt.Errorf("%w: the %s %s is not one host", ErrPinhole, what, a)
	case a.Is4In6() || a.Zone() != "":
		return fmt.Errorf("%w: the %s %s is mapped or has a zone", ErrPinhole, what, a)
	case a.Is4() != p.Source.Is4():
		return fmt.Errorf("%w: the %s %s and the source %s are of different families", ErrPinhole, what, a, p.Source)
	}
	return nil
}

// validInterface refuses what iptables would read as something else: "eth+" is a wildcard, "!" a negation, "" any.
func validInterface(name string) error {
	switch {
	case name == "" || len(name) > maxInterfaceName:
		return fmt.Errorf("interface name %q is not 1 to %d bytes long", name, maxInterfaceName)
	case strings.HasSuffix(name, "+"), strings.HasPrefix(name, "!"), strings.HasPrefix(name, "-"):
		return fmt.Errorf("interface name %q means a pattern to packet filters", name)
	}
	for _, r := range name {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(`"'\/`, r) {
			return fmt.Errorf("interface name %q holds %q", name, r)
		}
	}
	return nil
}

// String is the pinhole in one line, in the order in which a packet meets it.
func (p Pinhole) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", p.Source)
	if p.SourcePort != 0 {
		fmt.Fprintf(&b, " port %d", p.SourcePort)
	}
	fmt.Fprintf(&b, " on %s to %s", p.Interface, p.Destination)
	if p.Target.IsValid() {
		fmt.Fprintf(&b, ", led to %s", p.Target)
	}
	if p.SourceAs.IsValid() {
		fmt.Fprintf(&b, ", seen as %s", p.SourceAs)
	}
	if p.Mark != 0 {
		fmt.Fprintf(&b, ", marked %#x", p.Mark)
	}
	return b.String()
}
