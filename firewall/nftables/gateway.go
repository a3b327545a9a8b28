package nftables

import (
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/firewall"
)

// What the frame's Gateway needs: chains of ours that exist only with it, and lines in chains of the host, see lines.go.
const (
	chainGuard      = "guard"
	chainMasquerade = "masqueraded" // "masquerade" is a word of nft
	chainSegments   = "segments"

	// Guard and masquerade stand behind the host's chains of the usual priorities: what those drop or translate is decided.
	prioritySegments   = -150 // mangle
	priorityGuard      = 10   // filter + 10
	priorityMasquerade = 110  // srcnat + 10
)

// gateway are the chains. exposed are the interfaces of the WAN that no rule of the host closes.
func (w words) gateway(f firewall.Frame, exposed []string) (chains []chain) {
	if f.Gateway.Forward {
		chains = append(chains, guard(f, exposed), segments(f.Gateway))
	}
	if f.Gateway.Masquerade {
		chains = append(chains, w.masquerade(f.Gateway))
	}
	return chains
}

// guard closes what a host that forwards and has no firewall would leave open: routed addresses of the LAN, IPv6 above
// all. It knows those interfaces alone that the host leaves open: what the host's firewall accepts is its own affair.
func guard(f firewall.Frame, exposed []string) chain {
	c := chain{name: chainGuard, comment: "what comes from the WAN, where no rule of the host closes it",
		hook: &hook{nftables.ChainTypeFilter, hookForward, priorityGuard}}
	if len(exposed) == 0 {
		return c
	}
	var names []string
	for _, name := range exposed {
		names = append(names, pad16(name))
	}
	other := newRule("not from the WAN")
	other.among(true, unique(names), ifname())
	c.rules = []rule{
		*other.then(verdict(expr.VerdictReturn)),
		newRule("it belongs to a connection that was admitted", belongs(), verdict(expr.VerdictReturn)),
		newRule("a pinhole has admitted it", connMark().is(expr.CmpOpEq, f.PinholeMark, f.Mask), verdict(expr.VerdictReturn)),
		newRule("the host has published it", isPublished(), verdict(expr.VerdictReturn)),
		newRule("nobody has admitted it", verdict(expr.VerdictDrop)),
	}
	return c
}

// segments lowers what each end says that it takes (the option MSS of RFC 9293) to what the way carries, both ways.
func segments(g firewall.Gateway) chain {
	r := newRule("what the way carries, both ways", isTCP())
	r.among(false, append(crossings(g.LAN, g.WAN), crossings(g.WAN, g.LAN)...), ifname(), outName())
	r.then(says(), clamp())
	return chain{name: chainSegments, comment: "the largest segments between LAN and WAN",
		hook: &hook{nftables.ChainTypeFilter, hookForward, prioritySegments}, rules: []rule{r}}
}

// masquerade translates what the host's own rules have not translated.
func (w words) masquerade(g firewall.Gateway) chain {
	r := newRule("the LAN, as the interface by which it leaves")
	r.among(false, crossings(g.LAN, g.WAN), ifname(), outName())
	if !w.four {
		r.then(within(w.source(), firewall.UniqueLocal))
	}
	r.then([]expr.Any{&expr.Masq{}})
	return chain{name: chainMasquerade, comment: "passed once by every connection that nobody else translates",
		hook: &hook{nftables.ChainTypeNAT, hookPostrouting, priorityMasquerade}, rules: []rule{r}}
}

// crossings are the pairs of interfaces as keys.
func crossings(from, to []string) (keys []string) {
	for _, a := range from {
		for _, b := range to {
			keys = append(keys, pad16(a)+pad16(b))
		}
	}
	return unique(keys)
}

// outwards and backwards are the lines of a gateway in chains of the host that may drop. They stand where its own rules
// are through.
const (
	outwards  = linePrefix + "the LAN opens connections to the WAN"
	backwards = linePrefix + "what belongs to connections of the LAN"
)

func gatewayLines(f firewall.Frame, c *hostChain) []rule {
	g, accept := f.Gateway, verdict(expr.VerdictAccept)
	if !g.Forward || c.hook != hookForward {
		return nil
	}
	out, back := newRule(outwards, onlyFamily(f, c.family)), newRule(backwards, onlyFamily(f, c.family))
	out.among(false, crossings(g.LAN, g.WAN), ifname(), outName())
	back.among(false, crossings(g.WAN, g.LAN), ifname(), outName())
	return []rule{*out.then(isKnown(), accept), *back.then(belongs(), accept)}
}

// late tells whether a line stands behind the host's own rules.
func late(comment string) bool { return comment == outwards || comment == backwards }

// behind is the rule of the host before which late lines belong: the first that drops all the rest itself. 0: at the
// end. A jump to a chain of the host that drops the rest is none: what that chain accepts and drops is the host's
// decision.
func (c *hostChain) behind() (handle uint64) {
	for i := range c.rules {
		if r := &c.rules[i]; !r.ours && r.final && !r.conditional && r.from == "" {
			return r.handle
		}
	}
	return 0
}

// misplaced tells whether a late line stands before rules of the host that were added after it.
func (c *hostChain) misplaced() bool {
	for i := range c.rules {
		if !late(c.rules[i].comment) {
			continue
		}
		var next uint64
		if n := slices.IndexFunc(c.rules[i:], func(r hostRule) bool { return !r.ours }); n >= 0 {
			next = c.rules[i+n].handle
		}
		return next != c.behind()
	}
	return false
}

// meets tells whether the rule sees everything that comes from an interface.
func (r *hostRule) meets(name string) bool { return !r.conditional && (r.from == "" || r.from == name) }

// closes tells whether a chain of the host drops all that comes from an interface and no rule accepts.
func (l *landscape) closes(fam byte, name string) bool {
	return slices.ContainsFunc(l.base, func(c *hostChain) bool {
		if c.hook != hookForward || c.family != fam && c.family != unix.NFPROTO_INET || c.tableID.name == tableName && c.family == fam {
			return false
		}
		fate := l.fate(c, name, map[string]bool{})
		return fate == fateDrop || fate == fateNone && c.drops
	})
}

type fate int

const (
	fateNone fate = iota // the end of the chain is reached
	fateDrop
	fateAccept
)

// fate is what becomes in a chain of what comes from an interface and meets no rule that demands more.
func (l *landscape) fate(c *hostChain, name string, seen map[string]bool) fate {
	if c == nil || seen[c.name] {
		return fateNone
	}
	seen[c.name] = true
	for i := range c.rules {
		r := &c.rules[i]
		if r.ours || !r.meets(name) {
			continue
		}
		switch {
		case r.final:
			return fateDrop
		case r.accepts:
			return fateAccept
		case r.returns:
			return fateNone
		}
		for _, to := range r.leads {
			if f := l.fate(l.chains[chainID{c.tableID, to}], name, seen); f != fateNone || r.leaves {
				return f
			}
		}
	}
	return fateNone
}

// Guards implements firewall.Guard.
func (b *Backend) Guards() (closed []string) {
	for _, f := range b.families {
		if !f.installed {
			continue
		}
		for _, name := range f.guarded {
			closed = append(closed, f.String()+" "+name)
		}
	}
	return closed
}
