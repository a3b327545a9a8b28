package doctor

import "fmt"

// The hooks of netfilter, as nft names them.
const (
	hookIngress     = "ingress"
	hookPrerouting  = "prerouting"
	hookInput       = "input"
	hookForward     = "forward"
	hookOutput      = "output"
	hookPostrouting = "postrouting"
	hookEgress      = "egress"
)

// Ruleset is what the host has of rules, whoever wrote them, and what of it could not be read.
type Ruleset struct {
	tables []*table
	Unread []string
}

// table of iptables or nft.
type table struct {
	program string // that writes it: "iptables-legacy", or "nft"
	family  string // ip, ip6, inet, netdev
	name    string
	owned   bool // nobody but its owner may write it
	chains  map[string]*chain
	order   []*chain // as listed
}

func (t *table) nft() bool { return t.program == programNFT }

// programNFT writes native tables.
const programNFT = "nft"

type chain struct {
	*table
	name     string
	hook     string // "": other chains lead here
	kind     string // filter, nat or route
	priority int
	device   string // of ingress and egress; "": all
	drops    bool   // by policy
	rules    []*rule
}

// String names the chain as its program does.
func (c *chain) String() string {
	if c.nft() {
		return fmt.Sprintf("chain %s of table %s %s", c.name, c.family, c.table.name)
	}
	return fmt.Sprintf("chain %s of table %s (%s)", c.name, c.table.name, c.program)
}

type rule struct {
	chain   *chain
	text    string // as the program prints it
	handle  int    // of nft
	ours    bool
	when    []condition
	effects []effect
	verdict verdict
	target  string // chain of jump and leap
}

type verdict uint8

const (
	goesOn verdict = iota
	accepts
	drops
	mayDrop // a queue, or what is not understood
	returns
	jumps
	leaps // nft: goto
)

// effect is what a rule does to a packet that goes on.
type effect struct {
	kind effectKind
	when int // how many of the rule's conditions come before it
}

type effectKind uint8

const (
	overwritesMark   effectKind = iota + 1 // our byte of the packet's mark
	overwritesCTMark                       // our byte of the connection's mark
	restoresMark                           // the whole connection's mark becomes the packet's
	assignsHelper                          // the kernel's helper for FTP
	untracks
)

// base lists the chains at a hook, in no order.
func (s Ruleset) base(hook string) (cs []*chain) {
	for _, t := range s.tables {
		for _, c := range t.order {
			if c.hook == hook {
				cs = append(cs, c)
			}
		}
	}
	return cs
}

// concerns tells whether packets of the family come through the table.
func (t *table) concerns(p *packet) bool {
	switch t.family {
	case "ip":
		return !p.six
	case "ip6":
		return p.six
	}
	return true
}

// leadsToDrop tells whether a rule may end a packet's way, itself or where it leads.
func (r *rule) leadsToDrop(seen map[string]bool) bool {
	switch r.verdict {
	case drops, mayDrop:
		return true
	case jumps, leaps:
		c := r.chain.chains[r.target]
		if c == nil || seen[c.name] {
			return false
		}
		seen[c.name] = true
		for _, r := range c.rules {
			if !r.ours && r.leadsToDrop(seen) {
				return true
			}
		}
	}
	return false
}
