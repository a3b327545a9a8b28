package trace

import "encoding/binary"

// sum adds bytes to a checksum of RFC 1071, which has not been folded.
func sum(before uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		before += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) > 0 {
		before += uint32(b[0]) << 8
	}
	return before
}

// fold returns the 16 bits of a sum.
func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// seal makes the TCP checksum right after the payload was changed. That of a packet which was cut cannot be checked by
// anybody, and stays.
func (s *Segment) seal() {
	start := s.checksum - 16
	if len(s.Data) < s.Length || start < 20 || s.checksum+2 > len(s.Data) {
		return
	}
	addresses := s.Data[12:20]
	if s.Data[0]>>4 == 6 {
		addresses = s.Data[8:40]
	}
	segment := s.Data[start:]
	segment[16], segment[17] = 0, 0
	const tcp = 6
	total := sum(sum(tcp+uint32(len(segment)), addresses), segment)
	binary.BigEndian.PutUint16(segment[16:], ^fold(total))
}
