package nftables

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// landscape is what the host has in nf_tables, of all families, as far as it concerns us.
type landscape struct {
	generation uint32 // before anything was read
	tables     map[tableID]tableInfo
	chains     map[chainID]*hostChain
	base       []*hostChain // those at the hooks forward and input that filter, in the kernel's order
}

type tableID struct {
	family byte
	name   string
}

type tableInfo struct {
	owned bool // by a running program, or by one that has ended: nobody else may change it
}

type chainID struct {
	tableID
	name string
}

func (c chainID) String() string {
	return fmt.Sprintf("chain %s of table %s %s", c.name, familyName(c.family), c.tableID.name)
}

func familyName(fam byte) string {
	switch fam {
	case unix.NFPROTO_IPV4:
		return "ip"
	case unix.NFPROTO_IPV6:
		return "ip6"
	case unix.NFPROTO_INET:
		return "inet"
	}
	return fmt.Sprint("family ", fam)
}

// hostChain is a chain of somebody else.
type hostChain struct {
	chainID
	hook  uint32 // of a base chain
	drops bool   // by its policy
	rules []hostRule
}

type hostRule struct {
	handle      uint64
	ours        bool
	comment     string
	fingerprint string
	drops       bool     // may end the way of a packet
	leads       []string // to these chains
	sight
}

// survey reads everything.
func survey(on *wire) (l *landscape, err error) {
	err = undisturbed(func() (err error) {
		l, err = surveyOnce(on)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the host's nf_tables: %w", err)
	}
	return l, nil
}

func surveyOnce(on *wire) (*landscape, error) {
	l := &landscape{tables: map[tableID]tableInfo{}, chains: map[chainID]*hostChain{}}
	var err error
	if l.generation, err = on.generation(); err != nil {
		return nil, err
	}
	for _, step := range []struct {
		kind uint16
		each func(byte, []byte) error
	}{
		{unix.NFT_MSG_GETTABLE, l.table},
		{unix.NFT_MSG_GETCHAIN, l.chain},
		{unix.NFT_MSG_GETRULE, l.rule},
	} {
		if err := on.dump(step.kind, unix.AF_UNSPEC, nil, step.each); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *landscape) table(fam byte, attrs []byte) error {
	id := tableID{fam, text(find(attrs, unix.NFTA_TABLE_NAME))}
	l.tables[id] = tableInfo{owned: u32(find(attrs, unix.NFTA_TABLE_FLAGS))&flagOwner != 0}
	return nil
}

func (l *landscape) chain(fam byte, attrs []byte) error {
	c := &hostChain{chainID: chainID{tableID{fam, text(find(attrs, unix.NFTA_CHAIN_TABLE))}, text(find(attrs, unix.NFTA_CHAIN_NAME))}}
	l.chains[c.chainID] = c
	at := find(attrs, unix.NFTA_CHAIN_HOOK)
	if at == nil || text(find(attrs, unix.NFTA_CHAIN_TYPE)) != string(nftables.ChainTypeFilter) {
		return nil
	}
	c.hook = u32(find(at, unix.NFTA_HOOK_HOOKNUM))
	c.drops = u32(find(attrs, unix.NFTA_CHAIN_POLICY)) == uint32(nftables.ChainPolicyDrop)
	ip := fam == unix.NFPROTO_IPV4 || fam == unix.NFPROTO_IPV6 || fam == unix.NFPROTO_INET
	if ip && (c.hook == hookForward || c.hook == hookInput) {
		l.base = append(l.base, c)
	}
	return nil
}

func (l *landscape) rule(fam byte, attrs []byte) error {
	c := l.chains[chainID{tableID{fam, text(find(attrs, unix.NFTA_RULE_TABLE))}, text(find(attrs, unix.NFTA_RULE_CHAIN))}]
	if c == nil {
		return nil
	}
	r := hostRule{
		handle:      u64(find(attrs, unix.NFTA_RULE_HANDLE)),
		comment:     ruleComment(attrs),
		fingerprint: ruleFingerprint(attrs),
	}
	r.ours = strings.HasPrefix(r.comment, linePrefix)
	each(find(attrs, unix.NFTA_RULE_EXPRESSIONS), func(_ uint16, e []byte) {
		r.weigh(e)
		r.see(e)
	})
	c.rules = append(c.rules, r)
	return nil
}

// ruleComment reads what nft shows as the comment of a rule.
func ruleComment(attrs []byte) string {
	data := find(attrs, unix.NFTA_RULE_USERDATA)
	for len(data) >= 2 {
		size := int(data[1])
		if size > len(data)-2 {
			break
		}
		if data[0] == commentOfRule {
			return text(data[2 : 2+size])
		}
		data = data[2+size:]
	}
	return ""
}

// weigh notes what an expression can do to a packet. What is not known to be harmless may drop.
func (r *hostRule) weigh(e []byte) {
	data := find(e, unix.NFTA_EXPR_DATA)
	switch text(find(e, unix.NFTA_EXPR_NAME)) {
	case "immediate":
		v := find(data, unix.NFTA_IMMEDIATE_DATA, unix.NFTA_DATA_VERDICT)
		if v == nil {
			return
		}
		switch code := find(v, unix.NFTA_VERDICT_CODE); expr.VerdictKind(int32(u32(code))) {
		case expr.VerdictJump, expr.VerdictGoto:
			r.leads = append(r.leads, text(find(v, unix.NFTA_VERDICT_CHAIN)))
		case expr.VerdictAccept, expr.VerdictReturn, expr.VerdictContinue, expr.VerdictBreak:
		default:
			r.drops = true
		}
	case "lookup": // of a verdict: its elements may come and go
		dreg := find(data, unix.NFTA_LOOKUP_DREG)
		r.drops = r.drops || dreg != nil && binary.BigEndian.Uint32(dreg) == unix.NFT_REG_VERDICT
	case "reject", "queue", "target", "synproxy":
		r.drops = true
	}
}

// firstDrop is the first rule of the chain, not ours, that may end the way of a packet; nil: none.
func (l *landscape) firstDrop(c *hostChain, seen map[string]bool) *hostRule {
	if c == nil || seen[c.name] {
		return nil
	}
	seen[c.name] = true
	for i := range c.rules {
		r := &c.rules[i]
		if r.ours {
			continue
		}
		if r.drops {
			return r
		}
		for _, to := range r.leads {
			if l.firstDrop(l.chains[chainID{c.tableID, to}], seen) != nil {
				return r
			}
		}
	}
	return nil
}
