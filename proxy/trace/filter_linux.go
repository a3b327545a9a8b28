package trace

import (
	"fmt"

	"golang.org/x/net/bpf"
)

const (
	// wholePacket is how much of a packet of a control connection is captured, in bytes: all.
	wholePacket = 1 << 18
	// markers chooses the segments of a data connection that are captured besides SYN, FIN and RST, by their sequence number:
	// those in one mebibyte of each 512. That is enough to count the bytes of any file, and costs next to nothing.
	markers = 0x1ff00000
	// maxPorts bounds the control ports.
	maxPorts = 64
)

// captureFilter returns a program for a socket that sees packets from their IP header on. It passes control connections whole,
// of other TCP the headers of what begins and ends a connection, fragments, and the ICMP errors by which packets are
// rejected. interfaces are indices, none for all.
func captureFilter(ports []uint16, interfaces []int) ([]bpf.RawInstruction, error) {
	if len(ports) > maxPorts {
		return nil, fmt.Errorf("%d control ports are more than %d: choose some with --port", len(ports), maxPorts)
	}
	var p program
	if len(interfaces) > 0 {
		p.add(bpf.LoadExtension{Num: bpf.ExtInterfaceIndex})
		for i, index := range interfaces {
			// A match jumps over the rest, and over the return.
			p.add(bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(index), SkipTrue: uint8(len(interfaces) - i)})
		}
		p.add(bpf.RetConstant{})
	}
	tail := tcpFilter(ports)
	four := append(ipv4Filter(), tail...)
	p.add(bpf.LoadExtension{Num: bpf.ExtProto},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherIPv4, SkipFalse: 1},
		bpf.Jump{Skip: 1},
		bpf.Jump{Skip: uint32(len(four))})
	p.add(four...)
	p.add(bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherIPv6, SkipTrue: 1}, bpf.RetConstant{})
	p.add(ipv6Filter()...)
	p.add(tail...)
	return bpf.Assemble(p.list)
}

type program struct{ list []bpf.Instruction }

func (p *program) add(i ...bpf.Instruction) { p.list = append(p.list, i...) }

// ipv4Filter leaves the length of the header in X, if what follows is TCP and no fragment.
func ipv4Filter() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 6, SkipTrue: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 1, SkipTrue: 2}, // ICMP
		bpf.LoadMemShift{Off: 0},
		bpf.Jump{Skip: 6},
		bpf.RetConstant{},
		bpf.LoadAbsolute{Off: 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: 0x3fff, SkipTrue: 1},
		bpf.RetConstant{Val: wholePacket},
		bpf.LoadMemShift{Off: 0},
		bpf.Jump{Skip: 4},
		bpf.LoadIndirect{Off: 0, Size: 1}, // ICMP type: 3 is unreachable
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 3, SkipTrue: 1},
		bpf.RetConstant{},
		bpf.RetConstant{Val: wholePacket},
	}
}

// ipv6Filter does the same. Extension headers are rare: such packets pass whole.
func ipv6Filter() []bpf.Instruction {
	whole := bpf.RetConstant{Val: wholePacket}
	list := []bpf.Instruction{
		bpf.LoadAbsolute{Off: 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 58, SkipTrue: 4}, // ICMPv6
		bpf.LoadAbsolute{Off: 40, Size: 1},                       // type 1 is unreachable
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 1, SkipTrue: 1},
		bpf.RetConstant{},
		whole,
	}
	for _, extension := range []uint32{0, 43, 44, 60} { // hop-by-hop, routing, fragment, destination
		list = append(list, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: extension, SkipTrue: 1}, whole)
	}
	return append(list,
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 6, SkipTrue: 1},
		bpf.RetConstant{},
		bpf.LoadConstant{Dst: bpf.RegX, Val: 40})
}

// tcpFilter decides about a TCP segment at X. It always returns.
func tcpFilter(ports []uint16) []bpf.Instruction {
	var p program
	for _, offset := range []uint32{0, 2} {
		p.add(bpf.LoadIndirect{Off: offset, Size: 2})
		for _, port := range ports {
			p.add(bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(port), SkipTrue: 1}, bpf.RetConstant{Val: wholePacket})
		}
	}
	p.add(
		bpf.LoadIndirect{Off: 13, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x07, SkipTrue: 3}, // FIN, SYN, RST
		bpf.LoadIndirect{Off: 4, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: markers, SkipTrue: 1},
		bpf.RetConstant{},
		// The headers: X and four times the upper half of the byte with the data offset.
		bpf.LoadIndirect{Off: 12, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf0},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 2},
		bpf.ALUOpX{Op: bpf.ALUOpAdd},
		bpf.RetA{},
	)
	return p.list
}
