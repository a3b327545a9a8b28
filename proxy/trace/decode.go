package trace

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Decoder finds TCP in IP packets. It is for one goroutine.
type Decoder struct {
	parser  [2]*gopacket.DecodingLayerParser // of IPv4, IPv6
	ip4     layers.IPv4
	ip6     layers.IPv6
	further layers.IPv6ExtensionSkipper
	tcp     layers.TCP
	decoded []gopacket.LayerType
	parts   fragments
}

// NewDecoder returns a decoder.
func NewDecoder() *Decoder {
	d := new(Decoder)
	d.parser[0] = gopacket.NewDecodingLayerParser(layers.LayerTypeIPv4, &d.ip4, &d.tcp)
	d.parser[1] = gopacket.NewDecodingLayerParser(layers.LayerTypeIPv6, &d.ip6, &d.further, &d.tcp)
	for _, p := range d.parser {
		p.IgnoreUnsupported = true
	}
	return d
}

// Frame decodes what a capture file holds: a frame with a link layer, of which wire bytes were on the wire. It returns
// nil for what is not TCP.
func (d *Decoder) Frame(link layers.LinkType, at time.Time, on string, frame []byte, wire int) *Segment {
	data, before := network(link, frame)
	if len(data) == 0 {
		return nil
	}
	if index, ok := interfaceIn(link, frame); ok {
		on = fmt.Sprintf("interface %d", index)
	}
	return d.Decode(&Packet{Time: at, Interface: on, Data: data, Length: max(wire-before, len(data))})
}

// Decode returns the segment in a packet, nil for what is not TCP, and for fragments of IP until the last one has come.
// The packet of the segment is then the whole one.
func (d *Decoder) Decode(p *Packet) *Segment {
	p.trim()
	if len(p.Data) == 0 {
		return nil
	}
	if f, ok := fragmentOf(p); ok {
		if p = d.parts.add(p, f); p == nil {
			return nil
		}
	}
	if s := unreachable(p); s != nil {
		return s
	}
	six := p.Data[0]>>4 == 6
	parser := d.parser[0]
	if six {
		parser = d.parser[1]
	}
	_ = parser.DecodeLayers(p.Data, &d.decoded) // what it could not read is not among the decoded
	if !slices.Contains(d.decoded, layers.LayerTypeTCP) {
		return nil
	}
	from, to := d.ip4.SrcIP, d.ip4.DstIP
	if six {
		from, to = d.ip6.SrcIP, d.ip6.DstIP
	}
	// Layers are slices of one array, so that their capacity tells where they begin.
	header := cap(p.Data) - cap(d.tcp.Contents)
	payload := d.tcp.Payload
	return &Segment{
		Packet: p, Source: endpoint(from, uint16(d.tcp.SrcPort)), Destination: endpoint(to, uint16(d.tcp.DstPort)),
		Seq: d.tcp.Seq, Ack: d.tcp.Ack, SYN: d.tcp.SYN, ACK: d.tcp.ACK, FIN: d.tcp.FIN, RST: d.tcp.RST,
		Payload: payload, Size: max(p.Length-header-len(d.tcp.Contents), len(payload)), checksum: header + 16,
	}
}

// trim takes away what a short Ethernet frame was padded with, and takes the length from the header, which is right
// where an interface has gathered several packets into one. A header without a length (the same, larger than 64 KiB)
// leaves it.
func (p *Packet) trim() {
	length, least := 0, 20
	switch {
	case len(p.Data) >= 20 && p.Data[0]>>4 == 4:
		length = int(binary.BigEndian.Uint16(p.Data[2:]))
	case len(p.Data) >= 40 && p.Data[0]>>4 == 6:
		least = 40
		if length = int(binary.BigEndian.Uint16(p.Data[4:])); length > 0 {
			length += 40
		}
	default:
		p.Data = nil
		return
	}
	switch {
	case length > 0 && length < least:
		p.Data = nil
	case length > 0:
		p.Length = length
		p.Data = p.Data[:min(len(p.Data), length)]
	}
}

func endpoint(ip net.IP, port uint16) netip.AddrPort {
	a, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(a.Unmap(), port)
}
