package trace

import (
	"net/netip"
	"time"
)

// Packet is an IP packet as it was seen on an interface.
type Packet struct {
	Time      time.Time
	Interface string // "" if the source does not tell
	Data      []byte // from the IP header on, as far as it was captured
	Length    int    // of the whole packet, in bytes
}

// Segment is the TCP part of a packet, or what an ICMP error says of one.
type Segment struct {
	*Packet
	Source, Destination netip.AddrPort
	Seq, Ack            uint32
	SYN, ACK, FIN, RST  bool
	Payload             []byte // in the memory of the packet, as far as it was captured
	Size                int    // of the payload on the wire, in bytes

	// Rejected is what an ICMP error says of an earlier packet of this connection, "" for a segment of TCP itself.
	// Source and Destination are then those of the packet that was rejected, By is who rejects.
	Rejected string
	By       netip.Addr

	checksum int  // where the TCP checksum stands in Data
	masked   bool // secrets in Payload were overwritten
}

// opening says whether the segment asks for a new connection.
func (s *Segment) opening() bool { return s.SYN && !s.ACK }

// ahead returns how far the sequence number a lies before b, negative if behind.
func ahead(a, b uint32) int { return int(int32(a - b)) }
