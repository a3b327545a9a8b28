package doctor

import (
	"net/netip"
	"slices"
	"strings"
)

// The conditions that both kinds of rules have.

// fewPorts is the share of a packet's ports below which a match concerns few of them.
const fewPorts = 0.05

// byName matches an interface. A pattern that ends in wildcard, "+" for iptables and "*" for nft, is a beginning.
func byName(of func(*packet) string, pattern, wildcard string) condition {
	stem, wild := strings.CutSuffix(pattern, wildcard)
	return func(p *packet) truth {
		name := of(p)
		return either(name == pattern || wild && name != "" && strings.HasPrefix(name, stem))
	}
}

func arriving(p *packet) string { return p.iif }
func leaving(p *packet) string  { return p.oif }

// ports is a range, both ends included.
type ports struct{ first, last uint16 }

var allPorts = ports{0, 65535}

func (r ports) holds(o ports) bool { return r.first <= o.first && o.last <= r.last }

func byPort(of func(*packet) ports, wanted ports) condition {
	return func(p *packet) truth {
		have := of(p)
		first, last := max(have.first, wanted.first), min(have.last, wanted.last)
		switch {
		case last < first:
			return no
		case wanted.holds(have):
			return yes
		case float64(last-first+1) < fewPorts*float64(int(have.last)-int(have.first)+1):
			return few
		}
		return unsure
	}
}

func from(p *packet) ports { return p.sport }
func to(p *packet) ports   { return p.dport }

// byAddress compares a network with what is known of the packet's address; nothing known: anybody.
func byAddress(of func(*packet) []netip.Prefix, wanted netip.Prefix) condition {
	return func(p *packet) truth {
		if wanted.Addr().Is6() != p.six {
			return no
		}
		known := of(p)
		if wanted.Bits() == 0 {
			return yes
		}
		if len(known) == 0 {
			return some
		}
		inside := func(k netip.Prefix) bool { return wanted.Bits() <= k.Bits() && wanted.Contains(k.Addr()) }
		switch {
		case !slices.ContainsFunc(known, func(k netip.Prefix) bool { return !inside(k) }):
			return yes
		case slices.ContainsFunc(known, wanted.Overlaps):
			return some
		}
		return no
	}
}

func source(p *packet) []netip.Prefix      { return p.src }
func destination(p *packet) []netip.Prefix { return p.dst }

func byState(states []string) condition {
	return func(p *packet) truth {
		return either(slices.Contains(states, p.state()))
	}
}

// byMark compares a mark of which only our byte is known.
func byMark(of func(*packet) uint32, value, mask uint32) condition {
	return func(p *packet) truth {
		have := of(p)
		switch {
		case (have^value)&mask&p.mask != 0:
			return no
		case mask&^p.mask == 0:
			return yes
		}
		return unsure
	}
}

func packetMark(p *packet) uint32     { return p.mark }
func connectionMark(p *packet) uint32 { return p.ctMark }

// byFlags compares the flags of TCP, of which a first packet has SYN and a later one ACK.
func byFlags(among, set []string) condition {
	return func(p *packet) truth {
		own := "ack"
		if p.first {
			own = "syn"
		}
		for _, f := range among {
			if is, want := f == own, slices.Contains(set, f); is != want {
				return no
			}
		}
		return yes
	}
}

func byLocal(p *packet) truth { return p.local }

func byFamily(six bool) condition { return func(p *packet) truth { return either(p.six == six) } }
