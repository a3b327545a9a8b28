package nftables

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/firewall"
)

// reg is the first of the 4-byte registers. An expression leaves its result there, and a key of several fields begins
// there.
const reg = unix.NFT_REG32_00

// words are the expressions of one address family.
type words struct{ four bool }

func (w words) family() byte {
	if w.four {
		return unix.NFPROTO_IPV4
	}
	return unix.NFPROTO_IPV6
}

func (w words) String() string {
	if w.four {
		return "IPv4"
	}
	return "IPv6"
}

// field is what a key is made of: where in a packet it stands and how nft shows it.
type field struct {
	load func(register uint32) expr.Any
	kind nftables.SetDatatype
}

// size is the room of the field in a key, in bytes: whole registers.
func (f field) size() uint32 { return (f.kind.Bytes + 3) &^ 3 }

func (w words) address(offset4, offset6 uint32) field {
	offset, kind := offset6, nftables.TypeIP6Addr
	if w.four {
		offset, kind = offset4, nftables.TypeIPAddr
	}
	return field{kind: kind, load: func(r uint32) expr.Any {
		return &expr.Payload{DestRegister: r, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: kind.Bytes}
	}}
}

func (w words) source() field      { return w.address(12, 8) }
func (w words) destination() field { return w.address(16, 24) }

func port(offset uint32) field {
	return field{kind: nftables.TypeInetService, load: func(r uint32) expr.Any {
		return &expr.Payload{DestRegister: r, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2}
	}}
}

func sourcePort() field      { return port(0) }
func destinationPort() field { return port(2) }

func ifname() field { return interfaceName(expr.MetaKeyIIFNAME) }

func outName() field { return interfaceName(expr.MetaKeyOIFNAME) }

func interfaceName(key expr.MetaKey) field {
	return field{kind: nftables.TypeIFName, load: func(r uint32) expr.Any { return &expr.Meta{Key: key, Register: r} }}
}

// load puts fields into the registers from reg on.
func load(fields ...field) (out []expr.Any) {
	r := uint32(reg)
	for _, f := range fields {
		out = append(out, f.load(r))
		r += f.size() / 4
	}
	return out
}

// isTCP stands before everything that reads ports.
func isTCP() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: []byte{unix.IPPROTO_TCP}},
	}
}

// isFirst: the packet that begins a connection.
func isFirst(op expr.CmpOp) []expr.Any {
	const flags, fin, syn, rst, ack = 13, 1, 2, 4, 16
	return []expr.Any{
		&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: flags, Len: 1},
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 1, Mask: []byte{fin | syn | rst | ack}, Xor: []byte{0}},
		&expr.Cmp{Op: op, Register: reg, Data: []byte{syn}},
	}
}

// says: the packet in which an end says what it takes, SYN or SYN and ACK.
func says() []expr.Any {
	const flags, syn, rst = 13, 2, 4
	return []expr.Any{
		&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: flags, Len: 1},
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 1, Mask: []byte{syn | rst}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: []byte{syn}},
	}
}

// clamp writes into the option MSS what the routes of both directions carry. The kernel only lowers it.
func clamp() []expr.Any {
	const kind, value, length = 2, 2, 2 // RFC 9293 §3.2
	return []expr.Any{
		&expr.Rt{Register: reg, Key: expr.RtTCPMSS},
		&expr.Byteorder{SourceRegister: reg, DestRegister: reg, Op: expr.ByteorderHton, Len: 2, Size: 2},
		&expr.Exthdr{SourceRegister: reg, Type: kind, Offset: value, Len: length, Op: expr.ExthdrOpTcpopt},
	}
}

// mark is the packet's mark or the connection's, by what loads and what sets it.
type mark struct{ read, write expr.Any }

func packetMark() mark {
	return mark{&expr.Meta{Key: expr.MetaKeyMARK, Register: reg},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: reg}}
}

func connMark() mark {
	return mark{&expr.Ct{Key: expr.CtKeyMARK, Register: reg}, &expr.Ct{Key: expr.CtKeyMARK, SourceRegister: true, Register: reg}}
}

// is compares the bits of the mask.
func (m mark) is(op expr.CmpOp, value, mask uint32) []expr.Any {
	return []expr.Any{
		m.read,
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: host32(mask), Xor: host32(0)},
		&expr.Cmp{Op: op, Register: reg, Data: host32(value)},
	}
}

// set writes the bits of the mask and leaves the others.
func (m mark) set(value, mask uint32) []expr.Any {
	return m.copy(m, value, mask)
}

// copy writes the bits outside of the mask to another mark, and the value beside.
func (m mark) copy(to mark, value, mask uint32) []expr.Any {
	return []expr.Any{
		m.read,
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: host32(^mask), Xor: host32(value)},
		to.write,
	}
}

func host32(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
func net16(n uint16) []byte  { return binary.BigEndian.AppendUint16(nil, n) }

// isEstablished: a packet of a connection that the other side has answered.
func isEstablished() []expr.Any { return ctHas(expr.CtKeySTATE, expr.CtStateBitESTABLISHED) }

// belongs: a packet of such a connection, or one that is about it (an ICMP error).
func belongs() []expr.Any {
	return ctHas(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
}

// isKnown leaves out what conntrack cannot make sense of, and so nobody translates.
func isKnown() []expr.Any {
	return ctHas(expr.CtKeySTATE, expr.CtStateBitNEW|expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
}

// isPublished: the destination of the connection has been translated (IPS_DST_NAT of linux/netfilter/nf_conntrack_common.h).
func isPublished() []expr.Any { return ctHas(expr.CtKeySTATUS, 1<<5) }

// ctHas: one of the bits is set.
func ctHas(key expr.CtKey, bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: key, Register: reg},
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: host32(bits), Xor: host32(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: host32(0)},
	}
}

// toLocal: whether the destination is an address of this host, whichever it is at that moment.
func toLocal(op expr.CmpOp) []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: reg, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: op, Register: reg, Data: host32(unix.RTN_LOCAL)},
	}
}

// inNetwork compares the destination with a prefix.
func (w words) inNetwork(p netip.Prefix) []expr.Any { return within(w.destination(), p) }

// within compares an address with a prefix.
func within(address field, p netip.Prefix) []expr.Any {
	bits := p.Addr().BitLen()
	out := load(address)
	if p.Bits() < bits {
		mask := make([]byte, bits/8)
		for i := range p.Bits() {
			mask[i/8] |= 0x80 >> (i % 8)
		}
		out = append(out, &expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: uint32(bits / 8),
			Mask: mask, Xor: make([]byte, bits/8)})
	}
	return append(out, &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: p.Masked().Addr().AsSlice()})
}

// socketIs: what is known of the socket that the packet is for.
func socketIs(key expr.SocketKey) []expr.Any {
	return []expr.Any{
		&expr.Socket{Key: key, Register: reg},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: []byte{1}},
	}
}

// tproxy gives the packet to the listener on the loopback address.
func (w words) tproxy(listen uint16) []expr.Any {
	loopback := netip.IPv6Loopback()
	if w.four {
		loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	behind := uint32(reg + loopback.BitLen()/32)
	return []expr.Any{
		&expr.Immediate{Register: reg, Data: loopback.AsSlice()},
		&expr.Immediate{Register: behind, Data: net16(listen)},
		&expr.TProxy{Family: w.family(), TableFamily: w.family(), RegAddr: reg, RegPort: behind},
	}
}

// dnat and snat take the address, and with ports the port behind it, from the registers.
func (w words) dnat() expr.Any {
	behind := reg + w.destination().size()/4
	return &expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(w.family()),
		RegAddrMin: reg, RegAddrMax: reg, RegProtoMin: behind, RegProtoMax: behind}
}

func (w words) snat() expr.Any {
	return &expr.NAT{Type: expr.NATTypeSourceNAT, Family: uint32(w.family()), RegAddrMin: reg, RegAddrMax: reg}
}

// logTo sends the packet to a group of NFLOG.
func logTo(group uint16) []expr.Any {
	return []expr.Any{&expr.Log{Key: 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_PREFIX, Group: group, Data: []byte(firewall.RefusedPrefix)}}
}

func verdict(kind expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: kind}} }

func goTo(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}}
}

// in looks the registers up in a set; translated replaces them with what a map says.
func in(set string) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: reg, SetName: set}}
}

func translated(set string) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: reg, SetName: set, DestRegister: reg, IsDestRegSet: true}}
}
