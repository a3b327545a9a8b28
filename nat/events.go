package nat

import (
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
	program := markFilter(mark, mask)
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &filter); err != nil {
		return fmt.Errorf("filter conntrack events: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: eventGroups}); err != nil {
		return fmt.Errorf("subscribe to conntrack events: %w", err)
	}
	return nil
}

// markFilter is a classic BPF program that lets a message of conntrack through if its
// mark, under the mask, is the one given. Messages without a mark are dropped.
func markFilter(mark, mask uint32) []unix.SockFilter {
	const (
		firstAttribute = unix.SizeofNlMsghdr + nl.SizeofNfgenmsg
		// SKF_AD_OFF + SKF_AD_NLATTR of linux/filter.h: from A on, where is attribute X? 0: nowhere.
		findAttribute = 1<<32 - 0x1000 + 12
	)
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_IMM, K: firstAttribute},
		{Code: unix.BPF_LDX | unix.BPF_IMM, K: nl.CTA_MARK},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: findAttribute},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0, Jt: 5},
		{Code: unix.BPF_MISC | unix.BPF_TAX},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_IND, K: unix.SizeofRtAttr},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: mark & mask, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: ^uint32(0)},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
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
