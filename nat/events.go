package nat

import (
	"encoding/binary"
	"fmt"
	"os"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// eventBufferSize holds any one message of conntrack: a few hundred bytes.
	eventBufferSize = 16 << 10

	// eventQueueSize is how many bytes of events may wait in the kernel. At 4 MB some
	// 4,000 connections may begin and end before the reader is scheduled.
	eventQueueSize = 4 << 20

	// Multicast groups of linux/netfilter/nfnetlink_compat.h, as bits. The changes between
	// are left out: the kernel would write a message at each of the half-dozen states of a
	// connection, on the way of its packets, and drop it here.
	eventGroups = 1<<0 | // NF_NETLINK_CONNTRACK_NEW
		1<<2 // NF_NETLINK_CONNTRACK_DESTROY
)

// eventSocket receives the events of marked connections.
type eventSocket struct {
	file *os.File
	raw  syscall.RawConn
}

func openEvents(mark, mask uint32) (*eventSocket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket for conntrack events: %w", err)
	}
	if err := subscribe(fd, mark, mask); err != nil {
		unix.Close(fd)
		return nil, err
	}
	// A non-blocking descriptor is served by the poller: closing the file wakes the reader.
	file := os.NewFile(uintptr(fd), "conntrack events")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("read conntrack events: %w", err)
	}
	return &eventSocket{file: file, raw: raw}, nil
}

// subscribe sets the filter before the groups, so that no other event comes through.
func subscribe(fd int, mark, mask uint32) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, eventQueueSize); err != nil {
		return fmt.Errorf("enlarge the queue of conntrack events (needs CAP_NET_ADMIN): %w", err)
	}
	program := eventFilter(mark, mask)
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &filter); err != nil {
		return fmt.Errorf("filter conntrack events: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: eventGroups}); err != nil {
		return fmt.Errorf("subscribe to conntrack events: %w", err)
	}
	// Nobody but the kernel can send to a connected socket.
	if err := unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("subscribe to conntrack events: %w", err)
	}
	return nil
}

// eventFilter is a classic BPF program that lets the messages of conntrack through that
// matter here: a connection with this mark, under the mask, has begun, or is gone in the
// middle. The late removal of one that has ended wakes nobody.
func eventFilter(mark, mask uint32) []unix.SockFilter {
	const (
		firstAttribute = unix.SizeofNlMsghdr + nl.SizeofNfgenmsg
		typeOffset     = 4 // in struct nlmsghdr
		// SKF_AD_OFF + SKF_AD_NLATTR and SKF_AD_NLATTR_NEST of linux/filter.h: where is
		// attribute X, from A on, or in the attribute at A? 0: nowhere.
		findAttribute = 1<<32 - 0x1000 + 12
		findInside    = 1<<32 - 0x1000 + 16
	)
	var p eventProgram
	find := func(how uint32, attribute uint32, missing uint8) {
		p.step(unix.BPF_LDX|unix.BPF_IMM, attribute)
		p.step(unix.BPF_LD|unix.BPF_B|unix.BPF_ABS, how)
		p.jump(unix.BPF_JEQ, 0, missing, 0)
	}
	p.step(unix.BPF_LD|unix.BPF_IMM, firstAttribute)
	find(findAttribute, nl.CTA_MARK, toDrop)
	p.step(unix.BPF_MISC|unix.BPF_TAX, 0)
	p.step(unix.BPF_LD|unix.BPF_W|unix.BPF_IND, unix.SizeofRtAttr)
	p.step(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, mask)
	p.jump(unix.BPF_JEQ, mark&mask, 0, toDrop)
	p.step(unix.BPF_LD|unix.BPF_H|unix.BPF_ABS, typeOffset)
	p.jump(unix.BPF_JEQ, asLoaded(ctMessage(nl.IPCTNL_MSG_CT_DELETE)), 0, toPass)
	p.step(unix.BPF_LD|unix.BPF_IMM, firstAttribute)
	find(findAttribute, nl.CTA_PROTOINFO, toPass) // older kernels do not tell the state
	find(findInside, nl.CTA_PROTOINFO_TCP, toPass)
	find(findInside, nl.CTA_PROTOINFO_TCP_STATE, toPass)
	p.step(unix.BPF_MISC|unix.BPF_TAX, 0)
	p.step(unix.BPF_LD|unix.BPF_B|unix.BPF_IND, unix.SizeofRtAttr)
	// A SYN that is answered by a RST is removed at once, as CLOSE.
	p.jump(unix.BPF_JEQ, nl.TCP_CONNTRACK_TIME_WAIT, toDrop, toPass)
	p.label(toPass)
	p.step(unix.BPF_RET|unix.BPF_K, ^uint32(0))
	p.label(toDrop)
	p.step(unix.BPF_RET|unix.BPF_K, 0)
	return p.linked()
}

// Where the jumps of an eventProgram go to, until it is linked; 0: on.
const (
	toPass = 1 + iota
	toDrop
	toTable
	labels
)

// eventProgram is a BPF program in the making.
type eventProgram struct {
	steps  []unix.SockFilter
	places [labels]int
}

func (p *eventProgram) step(code uint16, k uint32) {
	p.steps = append(p.steps, unix.SockFilter{Code: code, K: k})
}

func (p *eventProgram) jump(code uint16, k uint32, yes, no uint8) {
	p.steps = append(p.steps, unix.SockFilter{Code: unix.BPF_JMP | code | unix.BPF_K, K: k, Jt: yes, Jf: no})
}

func (p *eventProgram) label(l int) { p.places[l] = len(p.steps) }

// linked puts distances in the place of labels.
func (p *eventProgram) linked() []unix.SockFilter {
	for at := range p.steps {
		for _, branch := range []*uint8{&p.steps[at].Jt, &p.steps[at].Jf} {
			if *branch != 0 {
				*branch = uint8(p.places[*branch] - at - 1)
			}
		}
	}
	return p.steps
}

// asLoaded is a number of the host's byte order as BPF loads it, which takes every
// number for one of the network's.
func asLoaded(number uint16) uint32 {
	return uint32(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, number)))
}

// receive returns events, which lie in the buffer until it is used again. It waits for
// them or, if told not to, returns EAGAIN. The error is ENOBUFS when events were lost,
// any other after close.
func (s *eventSocket) receive(buffer []byte, wait bool) ([]syscall.NetlinkMessage, error) {
	var length int
	var failed error
	err := s.raw.Read(func(fd uintptr) bool {
		length, failed = unix.Read(int(fd), buffer)
		return !wait || failed != unix.EAGAIN
	})
	if err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, os.NewSyscallError("read", failed)
	}
	return syscall.ParseNetlinkMessage(buffer[:length])
}

func (s *eventSocket) close() error { return s.file.Close() }
