package trace

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
)

var someTime = time.Unix(1_700_000_000, 123_456_789).UTC()

// TestLinks: the packet is found behind every kind of link layer.
func TestLinks(t *testing.T) {
	four := packet{from: lanClient, to: outside, flags: "A", seq: 7, data: "NOOP\r\n"}.bytes(t)
	six := packet{from: "[2001:db8::1]:1025", to: "[2001:db8::2]:21", flags: "A", seq: 7, data: "NOOP\r\n"}.bytes(t)
	mac := strings.Repeat("m", 12)
	for name, c := range map[string]struct {
		link   layers.LinkType
		header string
		packet []byte
		on     string
	}{
		"Ethernet":       {layers.LinkTypeEthernet, mac + "\x08\x00", four, "x"},
		"Ethernet, IPv6": {layers.LinkTypeEthernet, mac + "\x86\xdd", six, "x"},
		"VLAN":           {layers.LinkTypeEthernet, mac + "\x81\x00\x00\x05\x08\x00", four, "x"},
		"two VLANs":      {layers.LinkTypeEthernet, mac + "\x88\xa8\x00\x05\x81\x00\x00\x06\x86\xdd", six, "x"},
		"PPPoE":          {layers.LinkTypeEthernet, mac + "\x88\x64\x11\x00\x00\x01\x00\x40\x00\x21", four, "x"},
		"PPP":            {layers.LinkTypePPP, "\xff\x03\x00\x57", six, "x"},
		"SLL":            {layers.LinkTypeLinuxSLL, "\x00\x00\x00\x01\x00\x06mmmmmm\x00\x00\x08\x00", four, "x"},
		"SLL2":           {linkTypeSLL2, "\x08\x00\x00\x00\x00\x00\x00\x05\x00\x01\x00\x06mmmmmmmm", four, "interface 5"},
		"raw":            {layers.LinkTypeRaw, "", six, "x"},
		"null":           {layers.LinkTypeNull, "\x02\x00\x00\x00", four, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			frame := append([]byte(c.header), c.packet...)
			padded := append(frame, "padding"...)
			s := NewDecoder().Frame(c.link, someTime, "x", padded, len(padded))
			if s == nil {
				t.Fatal("no segment")
			}
			if string(s.Payload) != "NOOP\r\n" || s.Size != 6 || s.Destination.Port() != 21 || s.Seq != 7 || s.Interface != c.on || s.Time != someTime {
				t.Errorf("%+v %q", s, s.Payload)
			}
			for n := range frame { // cut anywhere it is nothing, or less of the same
				if s := NewDecoder().Frame(c.link, someTime, "x", frame[:n], len(frame)); s != nil && (s.Size != 6 || len(s.Payload) >= 6) {
					t.Errorf("cut at %d: %+v", n, s)
				}
			}
		})
	}
}

// TestFragments: a packet is put together again, in whatever order its fragments come.
func TestFragments(t *testing.T) {
	text := "USER " + strings.Repeat("b", 60) + "\r\n"
	for name, whole := range map[string][]byte{
		"IPv4": packet{from: lanClient, to: outside, flags: "A", seq: 7, data: text}.bytes(t),
		"IPv6": packet{from: "[2001:db8::1]:1025", to: "[2001:db8::2]:21", flags: "A", seq: 7, data: text}.bytes(t),
	} {
		for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 1, 0, 2}} {
			d := NewDecoder()
			var got *Segment
			for _, i := range order {
				f := fragmented(whole, i)
				if s := d.Decode(&Packet{Time: someTime, Data: f, Length: len(f)}); s != nil {
					got = s
				}
			}
			if got == nil || string(got.Payload) != text || got.Source.Port() == 0 {
				t.Errorf("%s, %v: %+v", name, order, got)
				continue
			}
			got.seal()
			if name == "IPv4" {
				checkSum(t, got)
			}
		}
		d := NewDecoder()
		for i := range 10 * maxDatagrams { // what never becomes whole is forgotten
			f := fragmented(whole, 0)
			if f[0]>>4 == 4 {
				binary.BigEndian.PutUint16(f[4:], uint16(i))
			} else {
				binary.BigEndian.PutUint32(f[44:], uint32(i))
			}
			d.Decode(&Packet{Time: someTime, Data: f, Length: len(f)})
		}
		if n := len(d.parts.waiting); n > maxDatagrams {
			t.Errorf("%s: %d packets wait", name, n)
		}
	}
}

// fragmented is one of three fragments of 32 bytes, the last one longer.
func fragmented(whole []byte, i int) []byte {
	header := 20
	if whole[0]>>4 == 6 {
		header = 40
	}
	from, to, more := header+i*32, header+(i+1)*32, uint16(1)
	if i == 2 {
		to, more = len(whole), 0
	}
	f := append([]byte(nil), whole[:header]...)
	if header == 40 {
		f[6] = 44
		f = append(f, 6, 0)
		f = binary.BigEndian.AppendUint16(f, uint16(i*32)|more)
		f = binary.BigEndian.AppendUint32(f, 99)
		f = append(f, whole[from:to]...)
		binary.BigEndian.PutUint16(f[4:], uint16(len(f)-40))
		return f
	}
	binary.BigEndian.PutUint16(f[4:], 99)
	binary.BigEndian.PutUint16(f[6:], uint16(i*32/8)|more<<13)
	f = append(f, whole[from:to]...)
	binary.BigEndian.PutUint16(f[2:], uint16(len(f)))
	return f
}
