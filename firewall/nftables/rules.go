package nftables

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// rule is a list of expressions: each matches and lets the next one see the packet, or acts. Anonymous sets that its
// lookups name stand beside it, in their order.
type rule struct {
	comment string
	exprs   []expr.Any
	sets    []*set
}

func newRule(comment string, parts ...[]expr.Any) rule {
	r := rule{comment: comment}
	for _, p := range parts {
		r.exprs = append(r.exprs, p...)
	}
	return r
}

// among matches if the fields are among the keys of the list, or not. One key with one field is compared: nft shows it
// shorter. The rule gets an anonymous set otherwise.
func (r *rule) among(not bool, keys []string, fields ...field) {
	r.exprs = append(r.exprs, load(fields...)...)
	op := expr.CmpOpEq
	if not {
		op = expr.CmpOpNeq
	}
	if len(keys) == 1 && len(fields) == 1 {
		r.exprs = append(r.exprs, &expr.Cmp{Op: op, Register: reg, Data: []byte(keys[0][:fields[0].kind.Bytes])})
		return
	}
	if len(fields) == 1 {
		for i, k := range keys {
			keys[i] = k[:fields[0].kind.Bytes]
		}
	}
	r.sets = append(r.sets, &set{name: "__set%d", key: fields, list: keys})
	r.exprs = append(r.exprs, &expr.Lookup{SourceRegister: reg, Invert: not, SetName: "__set%d"})
}

// then adds what follows.
func (r *rule) then(parts ...[]expr.Any) *rule {
	for _, p := range parts {
		r.exprs = append(r.exprs, p...)
	}
	return r
}

// place says where a rule goes: at the end of a chain, or before the rule with a handle.
type place struct {
	family byte
	table  string
	chain  string
	before uint64
}

// add adds the messages that make the rule and its anonymous sets.
func (r rule) add(b *batch, p place) {
	ids := make([]uint32, len(r.sets))
	for i, s := range r.sets {
		b.sets++
		own := *s
		own.id = b.sets
		ids[i] = own.id
		own.create(b, p.family, p.table)
	}
	b.message(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|appended(p), p.family, fmt.Sprintf("writing a rule of chain %s (%s)", p.chain, r.comment))
	b.text(unix.NFTA_RULE_TABLE, p.table)
	b.text(unix.NFTA_RULE_CHAIN, p.chain)
	if p.before != 0 {
		b.u64(unix.NFTA_RULE_POSITION, p.before)
	}
	at := b.nest(unix.NFTA_RULE_EXPRESSIONS)
	for _, e := range r.exprs {
		if l, ok := e.(*expr.Lookup); ok && l.SetName == "__set%d" {
			own := *l
			own.SetID, ids = ids[0], ids[1:]
			e = &own
		}
		elem := b.nest(unix.NFTA_LIST_ELEM)
		b.expression(p.family, e)
		b.close(elem)
	}
	b.close(at)
	b.comment(unix.NFTA_RULE_USERDATA, commentOfRule, r.comment)
}

func appended(p place) uint16 {
	if p.before != 0 {
		return 0
	}
	return unix.NLM_F_APPEND
}

// expression adds the attributes of an expression.
func (b *batch) expression(fam byte, e expr.Any) {
	data, err := expr.Marshal(fam, e)
	if err != nil {
		panic(fmt.Sprintf("expression %T cannot be written: %v", e, err)) // ours are constant, and each test writes them all
	}
	b.data = append(b.data, data...)
	b.pad(len(data))
}

// chain is one of ours.
type chain struct {
	name    string
	comment string
	hook    *hook // nil: other chains lead to it
	rules   []rule
}

type hook struct {
	kind     nftables.ChainType
	number   uint32
	priority int32
}

func (c chain) create(b *batch, fam byte, table string) {
	b.message(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, fam, "making chain "+c.name)
	b.text(unix.NFTA_CHAIN_TABLE, table)
	b.text(unix.NFTA_CHAIN_NAME, c.name)
	if c.hook != nil {
		at := b.nest(unix.NFTA_CHAIN_HOOK)
		b.u32(unix.NFTA_HOOK_HOOKNUM, c.hook.number)
		b.u32(unix.NFTA_HOOK_PRIORITY, uint32(c.hook.priority))
		b.close(at)
		b.text(unix.NFTA_CHAIN_TYPE, string(c.hook.kind))
		b.u32(unix.NFTA_CHAIN_POLICY, uint32(nftables.ChainPolicyAccept))
	}
	b.comment(attrChainUserdata, commentOfChain, c.comment)
}
