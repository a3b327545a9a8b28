package nftables

import (
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Attributes and flags of nf_tables that golang.org/x/sys/unix does not name.
const (
	attrTableUserdata  = 6
	attrTableOwner     = 7
	attrChainUserdata  = 12
	attrSetHandle      = 16
	attrSetExprs       = 18 // of Linux 5.12
	attrElemExprs      = 11
	attrSetDescConcat  = 2
	attrSetFieldLength = 1

	flagConcatenation = 0x80
	flagExprs         = 0x100
	flagOwner         = 2 // of a table

	// What a comment is called in the user data of each kind of object (libnftnl/udata.h).
	commentOfTable   = 0
	commentOfChain   = 0
	commentOfRule    = 0
	commentOfElement = 0
	commentOfSet     = 7
)

// set is one of our named sets and maps, or an anonymous set of a rule.
type set struct {
	name    string
	comment string
	key     []field
	data    []field // of a map
	oneShot bool    // an element matches one packet
	list    []string
	id      uint32 // of an anonymous set, in its batch
}

// Names of our sets and maps.
const (
	setOpen     = "open"
	setOpenFrom = "open_from_port"
	mapTargets  = "targets"
	mapSources  = "sources"
	mapMarks    = "marks"
)

// gateSet is one of the sets of pinholes. Two pinholes for one and the same connection cannot stand in one set; the
// second one stands in a further layer.
func (w words) gateSet(fromPort bool, layer int) *set {
	s := &set{name: gateName(fromPort, layer), oneShot: true, comment: "pinholes: each admits one connection",
		key: []field{ifname(), w.source(), w.destination(), destinationPort()}}
	if fromPort {
		s.key = []field{ifname(), w.source(), sourcePort(), w.destination(), destinationPort()}
		s.comment = "pinholes that require a source port"
	}
	if layer > 0 {
		s.comment = fmt.Sprintf("pinholes for a connection that %d others admit already", layer)
	}
	return s
}

func gateName(fromPort bool, layer int) string {
	name := setOpen
	if fromPort {
		name = setOpenFrom
	}
	if layer > 0 {
		name = fmt.Sprintf("%s_%d", name, layer+1)
	}
	return name
}

func (w words) maps() []*set {
	key := []field{w.source(), w.destination(), destinationPort()}
	return []*set{
		{name: mapTargets, key: key, data: []field{w.destination(), destinationPort()},
			comment: "where data connections are led"},
		{name: mapSources, key: key, data: []field{w.source()},
			comment: "what their target sees as the source"},
		{name: mapMarks, key: key, data: []field{{kind: nftables.TypeMark}},
			comment: "what the host's routing knows them by"},
	}
}

func (s *set) anonymous() bool { return s.id != 0 }

func (s *set) flags() uint32 {
	flags := uint32(unix.NFT_SET_TIMEOUT)
	if s.anonymous() {
		flags = unix.NFT_SET_ANONYMOUS | unix.NFT_SET_CONSTANT
	}
	if len(s.data) > 0 {
		flags |= unix.NFT_SET_MAP
	}
	if len(s.key) > 1 {
		flags |= flagConcatenation
	}
	if s.oneShot {
		flags |= flagExprs
	}
	return flags
}

// kind is the type of a key or value as nft reads it, and its size in bytes.
func kind(fields []field) (magic, size uint32) {
	for _, f := range fields {
		magic = magic<<nftables.SetConcatTypeBits | f.kind.GetNFTMagic()
		size += f.size()
	}
	if len(fields) == 1 {
		size = fields[0].kind.Bytes
	}
	return magic, size
}

// create adds the messages that make the set.
func (s *set) create(b *batch, fam byte, table string) {
	b.message(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, fam, "making set "+s.name)
	b.text(unix.NFTA_SET_TABLE, table)
	b.text(unix.NFTA_SET_NAME, s.name)
	b.u32(unix.NFTA_SET_FLAGS, s.flags())
	magic, size := kind(s.key)
	b.u32(unix.NFTA_SET_KEY_TYPE, magic)
	b.u32(unix.NFTA_SET_KEY_LEN, size)
	b.u32(unix.NFTA_SET_ID, s.id)
	if len(s.data) > 0 {
		magic, size := kind(s.data)
		b.u32(unix.NFTA_SET_DATA_TYPE, magic)
		b.u32(unix.NFTA_SET_DATA_LEN, size)
	}
	s.describe(b)
	if s.comment != "" {
		b.comment(unix.NFTA_SET_USERDATA, commentOfSet, s.comment)
	}
	if s.oneShot {
		// One packet a day, and no pinhole lives that long: the kernel takes the token under a lock, so that of two
		// packets at the same moment one is admitted.
		// What the limit holds back is counted as well.
		at := b.nest(attrSetExprs)
		for _, e := range []expr.Any{&expr.Counter{}, &expr.Limit{Type: expr.LimitTypePkts, Rate: 1, Unit: expr.LimitTimeDay, Burst: 1}} {
			elem := b.nest(unix.NFTA_LIST_ELEM)
			b.expression(fam, e)
			b.close(elem)
		}
		b.close(at)
	}
	if !s.anonymous() {
		return
	}
	b.message(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, fam, "filling a set of a rule")
	b.text(unix.NFTA_SET_ELEM_LIST_TABLE, table)
	b.text(unix.NFTA_SET_ELEM_LIST_SET, s.name)
	b.u32(unix.NFTA_SET_ELEM_LIST_SET_ID, s.id)
	all := b.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
	for _, key := range s.list {
		at := b.nest(unix.NFTA_LIST_ELEM)
		b.value(unix.NFTA_SET_ELEM_KEY, key)
		b.close(at)
	}
	b.close(all)
}

// describe tells the kernel how many elements there will be and the lengths of the fields of a key.
func (s *set) describe(b *batch) {
	desc := b.nest(unix.NFTA_SET_DESC)
	if s.anonymous() {
		b.u32(unix.NFTA_SET_DESC_SIZE, uint32(len(s.list)))
	}
	if len(s.key) > 1 {
		concat := b.nest(attrSetDescConcat)
		for _, f := range s.key {
			at := b.nest(unix.NFTA_LIST_ELEM)
			b.u32(attrSetFieldLength, f.kind.Bytes)
			b.close(at)
		}
		b.close(concat)
	}
	b.close(desc)
}

// pad16 is the name of an interface as a key holds it.
func pad16(name string) string {
	const size = unix.IFNAMSIZ
	return name + strings.Repeat("\x00", max(0, size-len(name)))
}

// pad4 is a port as a key holds it.
func pad4(port uint16) string { return string([]byte{byte(port >> 8), byte(port), 0, 0}) }
