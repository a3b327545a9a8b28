package trace

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// wire makes packets and has them followed. Its clock is its own.
type wire struct {
	t        *testing.T
	now      time.Time
	follower *Follower
	decoder  *Decoder
	story    []string
	packets  []*Segment // what was taken, as it was afterwards
	comments []string
	seqs     map[string]uint32 // next sequence number of "on from to"
	isn      uint32
}

func newWire(t *testing.T, o Options) *wire {
	w := &wire{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), decoder: NewDecoder(), seqs: make(map[string]uint32), isn: 1000}
	if o.Ports == nil {
		o.Ports = []uint16{21}
	}
	o.Tell = func(l Line) { w.story = append(w.story, l.Text) }
	w.follower = NewFollower(o)
	return w
}

// packet is a TCP packet of the test.
type packet struct {
	on, from, to string
	flags        string // of S, A, F, R
	seq, ack     uint32
	data         string
	cut          int // bytes of the end that were not captured
}

// bytes builds the packet from its IP header on.
func (p packet) bytes(t testing.TB) []byte {
	t.Helper()
	from, to := netip.MustParseAddrPort(p.from), netip.MustParseAddrPort(p.to)
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(from.Port()), DstPort: layers.TCPPort(to.Port()), Seq: p.seq, Ack: p.ack, Window: 1000,
		SYN: strings.Contains(p.flags, "S"), ACK: strings.Contains(p.flags, "A"), FIN: strings.Contains(p.flags, "F"), RST: strings.Contains(p.flags, "R"),
	}
	var ip gopacket.SerializableLayer
	if from.Addr().Is4() {
		v4 := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.IP(from.Addr().AsSlice()), DstIP: net.IP(to.Addr().AsSlice())}
		_ = tcp.SetNetworkLayerForChecksum(v4)
		ip = v4
	} else {
		v6 := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: net.IP(from.Addr().AsSlice()), DstIP: net.IP(to.Addr().AsSlice())}
		_ = tcp.SetNetworkLayerForChecksum(v6)
		ip = v6
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, tcp, gopacket.Payload(p.data)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// take has a packet followed.
func (w *wire) take(p packet) {
	w.t.Helper()
	raw := p.bytes(w.t)
	w.raw(p.on, raw[:len(raw)-p.cut], len(raw))
}

func (w *wire) raw(on string, data []byte, size int) {
	w.t.Helper()
	s := w.decoder.Decode(&Packet{Time: w.now, Interface: on, Data: data, Length: size})
	if s == nil {
		return
	}
	_, comment := w.follower.Take(s)
	w.packets, w.comments = append(w.packets, s), append(w.comments, comment)
}

func (w *wire) wait(d time.Duration) {
	w.now = w.now.Add(d)
	w.follower.Advance(w.now)
}

// link is a connection of the test on one interface.
type link struct {
	w            *wire
	on, from, to string
	isn          uint32 // of who dials; the other side's is a million more
}

// dial sends a SYN with a new sequence number; forward is the same connection seen elsewhere.
func (w *wire) dial(on, from, to string) link {
	w.t.Helper()
	w.isn += 5000
	return link{w, on, from, to, w.isn}.syn()
}

func (l link) forward(on, from, to string) link {
	l.w.t.Helper()
	return link{l.w, on, from, to, l.isn}.syn()
}

func (l link) syn() link {
	l.w.t.Helper()
	l.w.now = l.w.now.Add(100 * time.Microsecond)
	l.w.take(packet{on: l.on, from: l.from, to: l.to, flags: "S", seq: l.isn})
	l.w.seqs[l.key(true)], l.w.seqs[l.key(false)] = l.isn+1, l.isn+1_000_001
	return l
}

func (l link) key(up bool) string {
	if up {
		return l.on + l.from + l.to
	}
	return l.on + l.to + l.from
}

func (l link) answer() link {
	l.w.now = l.w.now.Add(200 * time.Microsecond)
	l.w.take(packet{on: l.on, from: l.to, to: l.from, flags: "SA", seq: l.isn + 1_000_000, ack: l.isn + 1})
	l.w.take(packet{on: l.on, from: l.from, to: l.to, flags: "A", seq: l.isn + 1, ack: l.isn + 1_000_001})
	return l
}

// segment sends bytes one way.
func (l link) segment(up bool, flags, data string) {
	l.w.now = l.w.now.Add(100 * time.Microsecond)
	p := packet{on: l.on, from: l.from, to: l.to, flags: "A" + flags, data: data}
	if !up {
		p.from, p.to = l.to, l.from
	}
	p.seq, p.ack = l.w.seqs[l.key(up)], l.w.seqs[l.key(!up)]
	l.w.take(p)
	n := uint32(len(data))
	if strings.Contains(flags, "F") {
		n++
	}
	l.w.seqs[l.key(up)] += n
}

func (l link) says(line string)    { l.segment(true, "", line+"\r\n") }
func (l link) replies(line string) { l.segment(false, "", line+"\r\n") }

func (l link) close() {
	l.segment(true, "F", "")
	l.segment(false, "F", "")
}

func (l link) reset(byServer bool) {
	p := packet{on: l.on, from: l.from, to: l.to, flags: "RA", seq: l.w.seqs[l.key(true)], ack: l.isn + 1}
	if byServer {
		p.from, p.to, p.seq = l.to, l.from, l.w.seqs[l.key(false)]
	}
	l.w.now = l.w.now.Add(300 * time.Microsecond)
	l.w.take(p)
}

// unreachable sends an ICMP error about the connection's SYN.
func (l link) unreachable(by string, code uint8) {
	inner := packet{on: l.on, from: l.from, to: l.to, flags: "S", seq: l.isn}.bytes(l.w.t)
	from := netip.MustParseAddrPort(l.from).Addr()
	ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: net.ParseIP(by), DstIP: net.IP(from.AsSlice())}
	icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, code)}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, icmp, gopacket.Payload(inner[:28])); err != nil {
		l.w.t.Fatal(err)
	}
	l.w.raw(l.on, b.Bytes(), len(b.Bytes()))
}

// told is the whole story, a line each.
func (w *wire) told() string { return strings.Join(w.story, "\n") }

// mustTell wants texts in the story, in this order.
func (w *wire) mustTell(wanted ...string) {
	w.t.Helper()
	rest := w.told()
	for _, want := range wanted {
		at := strings.Index(rest, want)
		if at < 0 {
			w.t.Fatalf("%q is not told, or not in this place:\n%s", want, w.told())
		}
		rest = rest[at+len(want):]
	}
}
