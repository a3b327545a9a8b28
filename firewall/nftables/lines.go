package nftables

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/firewall"
)

// An accept in our table does not help against a drop in another one: every base chain decides for itself. So chains of
// the host that may drop what is forwarded, or comes in, get lines of ours. They stand before the first rule that may
// drop, and so behind those that only change a packet, like the clamping of segment sizes for a tunnel. The lines of a
// gateway, which admit more than our own connections, stand where the host's rules are through.

// linePrefix begins the comment of every line: that is how a later run knows them.
const linePrefix = "ftpgate: "

// ErrOwned is wrapped when a table of the host that may drop our connections can be changed by its owner alone.
var ErrOwned = errors.New("the table is owned by another program (flag owner)")

// lines are what the chain needs of us.
func lines(f firewall.Frame, c *hostChain) []rule {
	accept := verdict(expr.VerdictAccept)
	data := newRule(linePrefix+"data connections", connMark().is(expr.CmpOpEq, f.PinholeMark, f.Mask), accept)
	if c.hook == hookForward {
		return append([]rule{data}, gatewayLines(f, c)...)
	}
	out := []rule{
		newRule(linePrefix+"control connections taken over", packetMark().is(expr.CmpOpEq, f.Mark, f.Mask), accept),
		data,
	}
	if len(f.ServerPorts) == 0 {
		return out
	}
	var ports []string
	for _, p := range f.ServerPorts {
		ports = append(ports, pad4(p))
	}
	replies := newRule(linePrefix+"replies of FTP servers", onlyFamily(f, c.family), isTCP())
	replies.among(false, unique(ports), sourcePort())
	return append(out, *replies.then(isEstablished(), accept))
}

// onlyFamily keeps a chain of both families to the one that is touched at all.
func onlyFamily(f firewall.Frame, fam byte) []expr.Any {
	if fam != unix.NFPROTO_INET || f.IPv4 && f.IPv6 {
		return nil
	}
	w := words{four: f.IPv4}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: []byte{w.family()}},
	}
}

// spot is a chain of the host in which our lines belong, before a rule; 0: at its end.
type spot struct {
	*hostChain
	before uint64
}

// spots are all of them. Chains that iptables shows are left to it.
func (l *landscape) spots(f firewall.Frame, iptables func(chainID) bool) (spots []spot, err error) {
	for _, c := range l.base {
		switch {
		case c.tableID.name == tableName && c.family != unix.NFPROTO_INET, iptables(c.chainID):
			continue
		case c.family == unix.NFPROTO_IPV4 && !f.IPv4, c.family == unix.NFPROTO_IPV6 && !f.IPv6:
			continue
		}
		drop := l.firstDrop(c, map[string]bool{})
		if drop == nil && !c.drops {
			continue
		}
		if l.tables[c.tableID].owned {
			err = errors.Join(err, fmt.Errorf("%s may drop data connections: %w: nobody else can let them pass; let the "+
				"program give its ownership up (firewalld: NftablesTableOwner=no)", c, ErrOwned))
			continue
		}
		s := spot{hostChain: c}
		if drop != nil {
			s.before = drop.handle
		}
		spots = append(spots, s)
	}
	return spots, err
}

// ours returns our lines in the chain as the kernel shows them.
func (c *hostChain) ours() (shown []string) {
	for _, r := range c.rules {
		if r.ours {
			shown = append(shown, r.fingerprint)
		}
	}
	return shown
}

// unline adds the removal of our lines from the chain.
func (c *hostChain) unline(b *batch) {
	for _, r := range c.rules {
		if !r.ours {
			continue
		}
		b.message(unix.NFT_MSG_DELRULE, 0, c.family, "removing our line from "+c.String())
		b.text(unix.NFTA_RULE_TABLE, c.tableID.name)
		b.text(unix.NFTA_RULE_CHAIN, c.name)
		b.u64(unix.NFTA_RULE_HANDLE, r.handle)
	}
}

// enline adds our lines, in place of what is there of ours.
func (s spot) enline(b *batch, f firewall.Frame) {
	s.unline(b)
	for _, r := range lines(f, s.hostChain) {
		before := s.before
		if late(r.comment) {
			before = s.behind()
		}
		r.add(b, place{family: s.family, table: s.tableID.name, chain: s.name, before: before})
	}
}

// admission compares our lines with what was shown after they had been written, and adds what puts them right.
func admission(b *batch, f firewall.Frame, spots []spot, known map[chainID][]string) (found firewall.Found) {
	for _, s := range spots {
		is := s.ours()
		want, ok := known[s.chainID]
		switch {
		case ok && slices.Equal(is, want) && !s.misplaced():
			continue
		case ok && slices.Equal(is, want):
			found.Followed = append(found.Followed, s.String()+": the host's own rules did not come first any more")
		case !ok && len(is) == 0:
			found.Followed = append(found.Followed, s.String()+" is new, or may drop now: it has our lines")
		case len(is) == 0:
			found.Repaired = append(found.Repaired, s.String()+": our line missing")
		default:
			found.Repaired = append(found.Repaired, s.String()+": other lines than ours")
		}
		s.enline(b, f)
	}
	return found
}
