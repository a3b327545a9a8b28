package nftables

import (
	"bytes"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// sight is which packets a rule of the host sees, as far as it is simple, and what becomes of them.
type sight struct {
	conditional bool   // it demands something beside from
	from        string // the interface by which they came; "": any
	final       bool   // dropped
	accepts     bool
	returns     bool
	leaves      bool // for another chain, without coming back

	loaded bool // while it is read: the last expression has loaded the name of the interface
}

// see takes an expression in. What it does not know may demand anything.
func (s *sight) see(e []byte) {
	data := find(e, unix.NFTA_EXPR_DATA)
	loaded := s.loaded
	s.loaded = false
	switch text(find(e, unix.NFTA_EXPR_NAME)) {
	case "counter", "log":
	case "meta":
		s.loaded = u32(find(data, unix.NFTA_META_KEY)) == uint32(expr.MetaKeyIIFNAME) && find(data, unix.NFTA_META_DREG) != nil
		s.conditional = s.conditional || !s.loaded
	case "cmp":
		name, exact := interfaceOf(find(data, unix.NFTA_CMP_DATA, unix.NFTA_DATA_VALUE))
		equal := u32(find(data, unix.NFTA_CMP_OP)) == uint32(expr.CmpOpEq)
		s.conditional = s.conditional || !loaded || !exact || !equal || s.from != "" && s.from != name
		s.from = name
	case "reject":
		s.final = true
	case "target": // of iptables
		name := text(find(data, unix.NFTA_TARGET_NAME))
		s.final = s.final || name == "REJECT" || name == "DROP"
	case "immediate":
		s.decide(find(data, unix.NFTA_IMMEDIATE_DATA, unix.NFTA_DATA_VERDICT))
	default:
		s.conditional = true
	}
}

func (s *sight) decide(verdict []byte) {
	if verdict == nil {
		return
	}
	switch expr.VerdictKind(int32(u32(find(verdict, unix.NFTA_VERDICT_CODE)))) {
	case expr.VerdictDrop:
		s.final = true
	case expr.VerdictAccept:
		s.accepts = true
	case expr.VerdictReturn:
		s.returns = true
	case expr.VerdictGoto:
		s.leaves = true
	}
}

// interfaceOf reads the name that a rule compares with; one without its end, of 16 bytes or the NUL, is the beginning
// of many names.
func interfaceOf(value []byte) (name string, exact bool) {
	end := bytes.IndexByte(value, 0)
	if end < 0 {
		return string(value), len(value) == unix.IFNAMSIZ
	}
	return string(value[:end]), true
}
