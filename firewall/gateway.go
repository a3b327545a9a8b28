package firewall

import (
	"errors"
	"net/netip"
)

// Gateway makes the host the router between two sides, both given by the names of interfaces.
//
// What the host's own rules say about a packet always goes first: Forward speaks where they are through, before a last
// rule that drops the rest or the policy of the chain; Masquerade translates what they have not translated.
type Gateway struct {
	LAN, WAN []string

	// Forward lets the LAN open connections to the WAN, and lets back in what belongs to them. What else comes from the
	// WAN to be forwarded is dropped, unless a pinhole or a translation of the destination (the host publishes
	// something) has admitted it. Where the host's own rules close an interface of the WAN, by a policy or a rule that drops
	// the rest, nothing is dropped beside them.
	//
	// Both ends of a TCP connection between the sides are told the largest segment that the smaller of both ways carries: a WAN
	// of PPPoE has an MTU of 1492, and the ICMP error that says so (RFC 1191) does not always arrive.
	Forward bool

	// Masquerade gives what leaves from LAN to WAN the address of the interface by which it leaves: everything of IPv4,
	// of IPv6 what comes from UniqueLocal.
	Masquerade bool
}

// UniqueLocal are the addresses of IPv6 that are not routed on the Internet (RFC 4193).
var UniqueLocal = netip.MustParsePrefix("fc00::/7")

func (g Gateway) active() bool { return g.Forward || g.Masquerade }

func (g Gateway) validate() error {
	if !g.active() {
		return nil
	}
	if len(g.LAN) == 0 || len(g.WAN) == 0 {
		return errors.New("no interface on one of the sides")
	}
	for _, side := range [][]string{g.LAN, g.WAN} {
		for _, name := range side {
			if err := validInterface(name); err != nil {
				return err
			}
		}
	}
	return nil
}
