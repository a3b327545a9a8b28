package trace

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
)

// FuzzPackets: no packet makes decoder, follower or recorder panic, and what is told and written stays within its bounds.
func FuzzPackets(f *testing.F) {
	four := packet{from: lanClient, to: outside, flags: "A", seq: 7, data: "PASS x\r\n"}.bytes(f)
	six := packet{from: "[2001:db8::1]:1025", to: "[2001:db8::2]:21", flags: "S", seq: 7}.bytes(f)
	f.Add(uint8(layers.LinkTypeRaw), four)
	f.Add(uint8(layers.LinkTypeRaw), six)
	f.Add(uint8(layers.LinkTypeEthernet), append([]byte("mmmmmmmmmmmm\x81\x00\x00\x05\x08\x00"), four...))
	for i := range 3 {
		f.Add(uint8(layers.LinkTypeRaw), fragmented(packet{from: lanClient, to: outside, flags: "A", data: string(make([]byte, 90))}.bytes(f), i))
	}
	f.Fuzz(func(t *testing.T, link uint8, data []byte) {
		d, out := NewDecoder(), new(bytes.Buffer)
		r := NewRecorder(out)
		follower := NewFollower(Options{Ports: []uint16{21}, Tell: func(l Line) {
			if bytes.ContainsAny([]byte(l.Text), "\n\r\x1b\x00") {
				t.Errorf("%q is told", l.Text)
			}
		}})
		for i := range 3 { // alone, again, and behind others
			frame := append([]byte(nil), data...)
			s := d.Frame(layers.LinkType(link), someTime.Add(time.Duration(i)*time.Second), "x", frame, len(frame))
			if s == nil {
				continue
			}
			keep, comment := follower.Take(s)
			if err := r.Write(s, keep, comment); err != nil {
				t.Fatal(err)
			}
		}
		follower.Close()
	})
}

// FuzzSegments: however a client's bytes are cut, lost, repeated and shuffled, no byte of a secret is left in a packet or told,
// and no more than the bounds is kept.
func FuzzSegments(f *testing.F) {
	// No byte but those of secrets is a Z.
	const said = "USER bob\r\nPASS ZZZZZZ\r\nCWD x\r\nACCT ZZ\r\n  sItE pswd Z Z\r\nNOOP\r\nPA\xff\xf1SS ZZZ\r\nQUIT\r\n"
	f.Add([]byte{0, 10, 10, 13, 23, 80})
	f.Add([]byte{5, 40, 0, 90, 3, 3})
	f.Add([]byte{0x80, 12, 40, 200, 10, 5, 0, 12})
	f.Fuzz(func(t *testing.T, cuts []byte) {
		follower := NewFollower(Options{Ports: []uint16{21}, Tell: func(l Line) {
			if bytes.ContainsRune([]byte(l.Text), 'Z') {
				t.Errorf("%q is told", l.Text)
			}
		}})
		d := NewDecoder()
		take := func(p packet) {
			raw := p.bytes(t)
			s := d.Decode(&Packet{Time: someTime, Data: raw, Length: len(raw)})
			if _, comment := follower.Take(s); bytes.ContainsRune([]byte(comment), 'Z') || bytes.ContainsRune(s.Payload, 'Z') {
				t.Fatalf("%q, %q", s.Payload, comment)
			}
		}
		const isn = 0xffffffe0 // the numbers wrap
		if len(cuts) > 0 && cuts[0]&0x80 == 0 {
			take(packet{from: lanClient, to: outside, flags: "S", seq: isn})
		}
		for cuts = cuts[:min(len(cuts), 400)]; len(cuts) >= 2; cuts = cuts[2:] {
			from := int(cuts[0]) % len(said)
			to := min(from+int(cuts[1])%32, len(said))
			seq := uint32(isn) + 1 + uint32(from)
			take(packet{from: lanClient, to: outside, flags: "A", seq: seq, data: said[from:to]})
			if cuts[1]&0x80 != 0 { // the server has it
				take(packet{from: outside, to: lanClient, flags: "A", ack: seq + uint32(to-from)})
			}
		}
		for _, l := range follower.legs {
			if len(l.up.early) > maxEarly+1 || l.up.held > maxEarlyBytes+len(said) || len(l.up.line) > maxLine {
				t.Errorf("%d segments, %d bytes are held", len(l.up.early), l.up.held)
			}
		}
		follower.Close()
	})
}

// FuzzReplies: no reply makes the reader panic, and each has an end.
func FuzzReplies(f *testing.F) {
	f.Add([]byte("220-a\r\n220 b\r\n227 =1,2,3,4,5,6\r\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		var r replyReader
		for line := range bytes.Lines(said) {
			if whole, done := r.add(string(bytes.TrimSuffix(line, []byte("\n")))); done {
				passiveEnd(whole, new(leg))
				_ = whole.String()
			}
			if r.text.Len() > maxReply+len(line) {
				t.Fatal(r.text.Len())
			}
		}
	})
}
