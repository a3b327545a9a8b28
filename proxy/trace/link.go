package trace

import (
	"encoding/binary"

	"github.com/google/gopacket/layers"
)

// linkTypeSLL2 is LINKTYPE_LINUX_SLL2, 276, as far as gopacket's type of 8 bits can say it. Nothing else has the number 20.
const linkTypeSLL2 layers.LinkType = 276 & 0xff

// The raw IP of a BSD, which does not have one number everywhere.
const (
	linkTypeRawBSD     layers.LinkType = 12
	linkTypeRawOpenBSD layers.LinkType = 14
)

const (
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
	// maxTags bounds the VLAN tags of a frame.
	maxTags = 4
)

// interfaceIn returns the number of the interface in a frame of a capture on all interfaces, where its link layer has it.
func interfaceIn(link layers.LinkType, frame []byte) (index uint32, ok bool) {
	if link != linkTypeSLL2 || len(frame) < 20 {
		return 0, false
	}
	return binary.BigEndian.Uint32(frame[4:]), true
}

// network returns the IP packet in a frame, nil if there is none, and how many bytes come before it.
func network(link layers.LinkType, frame []byte) (packet []byte, before int) {
	switch link {
	case layers.LinkTypeEthernet:
		return behindEtherType(frame, 12)
	case layers.LinkTypeLinuxSLL:
		return behindEtherType(frame, 14)
	case linkTypeSLL2: // the type comes first, 20 bytes in all
		if len(frame) < 20 {
			return nil, 0
		}
		return frame[20:], 20
	case layers.LinkTypeRaw, linkTypeRawBSD, linkTypeRawOpenBSD, layers.LinkTypeIPv4, layers.LinkTypeIPv6:
		return frame, 0
	case layers.LinkTypeNull, layers.LinkTypeLoop:
		if len(frame) < 4 {
			return nil, 0
		}
		return frame[4:], 4
	case layers.LinkTypePPP:
		return behindPPP(frame)
	}
	return nil, 0
}

// behindEtherType reads an EtherType at an offset, and VLAN tags (IEEE 802.1Q, 802.1ad).
func behindEtherType(frame []byte, at int) (packet []byte, before int) {
	for range maxTags {
		if len(frame) < at+2 {
			return nil, 0
		}
		switch binary.BigEndian.Uint16(frame[at:]) {
		case etherIPv4, etherIPv6:
			return frame[at+2:], at + 2
		case 0x8100, 0x88a8, 0x9100:
			at += 4
		case 0x8864: // PPPoE session: 6 bytes, then PPP
			if len(frame) < at+8 {
				return nil, 0
			}
			packet, before = behindPPP(frame[at+8:])
			return packet, before + at + 8
		default:
			return nil, 0
		}
	}
	return nil, 0
}

// behindPPP passes over the protocol of PPP, with or without the address and control of HDLC before it.
func behindPPP(frame []byte) (packet []byte, before int) {
	at := 0
	if len(frame) >= 2 && frame[0] == 0xff && frame[1] == 0x03 {
		at = 2
	}
	if len(frame) < at+2 {
		return nil, 0
	}
	if protocol := binary.BigEndian.Uint16(frame[at:]); protocol != 0x0021 && protocol != 0x0057 { // IPv4, IPv6
		return nil, 0
	}
	return frame[at+2:], at + 2
}
