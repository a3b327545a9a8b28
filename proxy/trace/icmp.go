package trace

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Why a destination cannot be reached, by the code of ICMP (RFC 792, RFC 1812 §5.2.7.1) and of ICMPv6 (RFC 4443 §3.1).
var (
	unreachable4 = map[byte]string{
		0: "network unreachable", 1: "host unreachable", 2: "protocol unreachable", 3: "port unreachable",
		9: "network prohibited", 10: "host prohibited", 13: "administratively prohibited",
	}
	unreachable6 = map[byte]string{
		0: "no route", 1: "administratively prohibited", 3: "address unreachable", 4: "port unreachable",
		5: "source address failed policy", 6: "reject route",
	}
)

// unreachable reads an ICMP error of the kind by which firewalls reject, nil for anything else. It holds the beginning of
// the packet that was rejected.
func unreachable(p *Packet) *Segment {
	six := p.Data[0]>>4 == 6
	protocol, header, kind, says := p.Data[9], int(p.Data[0]&0x0f)*4, byte(3), unreachable4
	if six {
		protocol, header, kind, says = p.Data[6], 40, 1, unreachable6
	}
	if protocol != 1 && !six || protocol != 58 && six || len(p.Data) < header+8 || p.Data[header] != kind {
		return nil
	}
	code, inner := p.Data[header+1], p.Data[header+8:]
	if !six && code == 4 || len(inner) < 28 { // fragmentation needed is no refusal
		return nil
	}
	s := &Segment{Packet: p, Rejected: says[code]}
	if s.Rejected == "" {
		s.Rejected = fmt.Sprintf("unreachable, code %d", code)
	}
	length, tcp := int(inner[0]&0x0f)*4, inner[9]
	if six {
		length, tcp = 40, inner[6]
	}
	if tcp != 6 || length < 20 || len(inner) < length+8 || inner[0]>>4 != p.Data[0]>>4 {
		return nil
	}
	ports := inner[length:]
	address := func(b []byte, at int) netip.Addr {
		if six {
			return netip.AddrFrom16([16]byte(b[8+at*16:]))
		}
		return netip.AddrFrom4([4]byte(b[12+at*4:]))
	}
	s.By = address(p.Data, 0)
	s.Source = netip.AddrPortFrom(address(inner, 0), binary.BigEndian.Uint16(ports))
	s.Destination = netip.AddrPortFrom(address(inner, 1), binary.BigEndian.Uint16(ports[2:]))
	s.Seq = binary.BigEndian.Uint32(ports[4:])
	return s
}
