package trace

import (
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/net/bpf"
)

// TestFilter: what the kernel gives away of each kind of packet, in bytes; 0 is nothing. (The choice by interface and by protocol needs
// the kernel: see the tests of the command.)
func TestFilter(t *testing.T) {
	ports := []uint16{21, 2121}
	data := packet{from: "192.168.50.10:41000", to: "203.0.113.20:51201", flags: "A", seq: 0x12345678, data: "contents"}
	with := func(change func(*packet)) packet {
		p := data
		change(&p)
		return p
	}
	six := func(p packet) packet {
		p.from, p.to = "[2001:db8::1]:41000", "[2001:db8::2]"+p.to[len("203.0.113.20"):]
		return p
	}
	for name, c := range map[string]struct {
		packet
		want int // -1: all
	}{
		"control":            {with(func(p *packet) { p.to = "203.0.113.20:21" }), -1},
		"control, other way": {with(func(p *packet) { p.from = "203.0.113.20:2121" }), -1},
		"data":               {data, 0},
		"data, a marker":     {with(func(p *packet) { p.seq = 0x600fffff }), 40},
		"data, SYN":          {with(func(p *packet) { p.flags, p.data = "S", "" }), 40},
		"data, FIN":          {with(func(p *packet) { p.flags = "FA" }), 40},
		"data, RST":          {with(func(p *packet) { p.flags = "R" }), 40},
	} {
		for _, family := range []string{"IPv4", "IPv6"} {
			p, filter, longer := c.packet, ipv4Filter(), 0
			if family == "IPv6" {
				if p.from == "203.0.113.20:2121" {
					p.to = "203.0.113.20:2121"
				}
				p, filter, longer = six(p), append([]bpf.Instruction{}, ipv6Filter()...), 20
			}
			raw := p.bytes(t)
			want := c.want
			switch {
			case want < 0:
				want = len(raw)
			case want > 0:
				want += longer
			}
			if got := passed(t, append(filter, tcpFilter(ports)...), raw); got != want {
				t.Errorf("%s, %s: %d bytes instead of %d", name, family, got, want)
			}
		}
	}
	whole := packet{from: "192.168.50.10:41000", to: "203.0.113.20:51201", data: string(make([]byte, 90))}.bytes(t)
	rejected := slices.Clone(whole)
	rejected[9], rejected[20] = 1, 3
	echo := slices.Clone(rejected)
	echo[20] = 8
	udp := slices.Clone(whole)
	udp[9] = 17
	fragment := slices.Clone(whole)
	binary.BigEndian.PutUint16(fragment[6:], 0x2001)
	for name, c := range map[string]struct {
		raw  []byte
		want int
	}{"a fragment": {fragment, len(whole)}, "unreachable": {rejected, len(whole)}, "echo": {echo, 0}, "UDP": {udp, 0}} {
		if got := passed(t, append(ipv4Filter(), tcpFilter(ports)...), c.raw); got != c.want {
			t.Errorf("%s: %d bytes instead of %d", name, got, c.want)
		}
	}
}

// passed runs a filter.
func passed(t *testing.T, filter []bpf.Instruction, raw []byte) int {
	t.Helper()
	vm, err := bpf.NewVM(filter)
	if err != nil {
		t.Fatal(err)
	}
	n, err := vm.Run(raw)
	if err != nil {
		t.Fatal(err)
	}
	return min(n, len(raw))
}

// TestLongFilter: the most ports and interfaces that are allowed fit into the kernel's limit for programs.
func TestLongFilter(t *testing.T) {
	const most = 4096 // BPF_MAXINSNS
	program, err := captureFilter(slices.Repeat([]uint16{21}, maxPorts), slices.Repeat([]int{1}, maxWatched))
	if err != nil || len(program) > most {
		t.Errorf("%d instructions, %v", len(program), err)
	}
	if _, err := captureFilter(slices.Repeat([]uint16{21}, maxPorts+1), nil); err == nil {
		t.Error("more ports than the bound are accepted")
	}
}
