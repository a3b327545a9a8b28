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

	// Multicast groups of linux/netfilter/nfnetlink_compat.h, as bits.
	eventGroups = 1<<0 | // NF_NETLINK_CONNTRACK_NEW
		1<<1 | // NF_NETLINK_CONNTRACK_UPDATE
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
	return nil
}

// eventFilter is a classic BPF program that lets the messages of conntrack through that
// matter here: a connection with this mark, under the mask, has begun, has ended by its
// TCP state, or is gone. The changes of state between, most of all events, wake nobody.
func eventFilter(mark, mask uint32) []unix.SockFilter {
	const (
		firstAttribute = unix.SizeofNlMsghdr + nl.SizeofNfgenmsg
		typeOffset     = 4 // in struct nlmsghdr
		flagsOffset    = 6
		// SKF_AD_OFF + SKF_AD_NLATTR and SKF_AD_NLATTR_NEST of linux/filter.h: where is
		// attribute X, from A on, or in the attribute at A? 0: nowhere.
		findAttribute = 1<<32 - 0x1000 + 12
		findInside    = 1<<32 - 0x1000 + 16
	)
	var program []unix.SockFilter
	step := func(code uint16, k uint32) { program = append(program, unix.SockFilter{Code: code, K: k}) }
	// A jump names the label it goes to; the distance is filled in at the end.
	const pass, drop = 1, 2
	jump := func(code uint16, k uint32, yes, no uint8) {
		program = append(program, unix.SockFilter{Code: unix.BPF_JMP | code | unix.BPF_K, K: k, Jt: yes, Jf: no})
	}
	find := func(how uint32, attribute uint32) {
		step(unix.BPF_LDX|unix.BPF_IMM, attribute)
		step(unix.BPF_LD|unix.BPF_B|unix.BPF_ABS, how)
		jump(unix.BPF_JEQ, 0, drop, 0)
	}
	step(unix.BPF_LD|unix.BPF_IMM, firstAttribute)
	find(findAttribute, nl.CTA_MARK)
	step(unix.BPF_MISC|unix.BPF_TAX, 0)
	step(unix.BPF_LD|unix.BPF_W|unix.BPF_IND, unix.SizeofRtAttr)
	step(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, mask)
	jump(unix.BPF_JEQ, mark&mask, 0, drop)
	step(unix.BPF_LD|unix.BPF_H|unix.BPF_ABS, flagsOffset)
	jump(unix.BPF_JSET, asLoaded(unix.NLM_F_CREATE), pass, 0)
	step(unix.BPF_LD|unix.BPF_H|unix.BPF_ABS, typeOffset)
	jump(unix.BPF_JEQ, asLoaded(ctMessage(nl.IPCTNL_MSG_CT_DELETE)), pass, 0)
	step(unix.BPF_LD|unix.BPF_IMM, firstAttribute)
	find(findAttribute, nl.CTA_PROTOINFO)
	find(findInside, nl.CTA_PROTOINFO_TCP)
	find(findInside, nl.CTA_PROTOINFO_TCP_STATE)
	step(unix.BPF_MISC|unix.BPF_TAX, 0)
	step(unix.BPF_LD|unix.BPF_B|unix.BPF_IND, unix.SizeofRtAttr)
	jump(unix.BPF_JEQ, nl.TCP_CONNTRACK_TIME_WAIT, pass, 0)
	jump(unix.BPF_JEQ, nl.TCP_CONNTRACK_CLOSE, pass, drop)
	end := len(program)
	step(unix.BPF_RET|unix.BPF_K, ^uint32(0))
	step(unix.BPF_RET|unix.BPF_K, 0)
	for at := range program[:end] {
		if program[at].Code&0x07 != unix.BPF_JMP {
			continue
		}
		for _, branch := range []*uint8{&program[at].Jt, &program[at].Jf} {
			if *branch != 0 {
				*branch = uint8(end + int(*branch) - pass - at - 1)
			}
		}
	}
	return program
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
	var sender unix.Sockaddr
	var failed error
	err := s.raw.Read(func(fd uintptr) bool {
		length, sender, failed = unix.Recvfrom(int(fd), buffer, 0)
		return !wait || failed != unix.EAGAIN
	})
	if err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, os.NewSyscallError("recvfrom", failed)
	}
	if from, ok := sender.(*unix.SockaddrNetlink); !ok || from.Pid != nl.PidKernel {
		return nil, nil
	}
	return syscall.ParseNetlinkMessage(buffer[:length])
}

func (s *eventSocket) close() error { return s.file.Close() }
