package trace

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// socketBuffer is how much may wait to be read, in bytes.
	socketBuffer = 8 << 20
	// largestPacket is the longest that the kernel gathers (GRO, TSO) where it was not told otherwise.
	largestPacket = 1 << 17
	// maxWatched bounds the interfaces that are named: the kernel's filter compares them one by one.
	maxWatched = 128
)

// Capture takes packets from interfaces as they pass, before the kernel translates those that come in, and after it has
// translated those that go out.
type Capture struct {
	file     *os.File
	raw      syscall.RawConn
	names    map[int]string
	loopback map[int]bool
	buffer   []byte
	control  []byte
	captured uint64
	dropped  uint64
}

// OpenCapture watches interfaces for the control connections of some ports and for data connections. It needs CAP_NET_RAW:
// without it the error is EPERM. The caller closes what it returns.
func OpenCapture(interfaces []net.Interface, ports []uint16) (*Capture, error) {
	if len(interfaces) > maxWatched {
		return nil, fmt.Errorf("%d interfaces are more than %d: name those of the router's two sides", len(interfaces), maxWatched)
	}
	c := &Capture{names: make(map[int]string), loopback: make(map[int]bool), buffer: make([]byte, largestPacket), control: make([]byte, 256)}
	var indices []int
	for _, i := range interfaces {
		c.names[i.Index], c.loopback[i.Index] = i.Name, i.Flags&net.FlagLoopback != 0
		indices = append(indices, i.Index)
	}
	filter, err := captureFilter(ports, indices)
	if err != nil {
		return nil, fmt.Errorf("making the capture filter: %w", err)
	}
	program := make([]unix.SockFilter, len(filter))
	for i, f := range filter {
		program[i] = unix.SockFilter{Code: f.Op, Jt: f.Jt, Jf: f.Jf, K: f.K}
	}
	// Protocol 0 takes nothing, so that no packet comes before the filter is in place.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening a packet socket: %w", err)
	}
	if err := prepare(fd, program); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("preparing a packet socket: %w", err)
	}
	c.file = os.NewFile(uintptr(fd), "packets")
	if c.raw, err = c.file.SyscallConn(); err != nil {
		c.file.Close()
		return nil, fmt.Errorf("reading packets: %w", err)
	}
	return c, nil
}

// prepare sets the socket up and opens it for all interfaces: the filter chooses, so that one queue keeps their order.
func prepare(fd int, program []unix.SockFilter) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer); err != nil {
		// Without CAP_NET_ADMIN as much as an administrator allows.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, socketBuffer)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return fmt.Errorf("asking for timestamps: %w", err)
	}
	awaitStamps()
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}); err != nil {
		return fmt.Errorf("attaching the filter: %w", err)
	}
	const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8 // in network order
	return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all})
}

// Next waits for a packet. After Close the error is os.ErrClosed. The packet is the caller's own; its true length is in its
// IP header.
func (c *Capture) Next() (*Packet, error) {
	for {
		var n, oobn int
		var from unix.Sockaddr
		var failed error
		err := c.raw.Read(func(fd uintptr) bool {
			n, oobn, _, from, failed = unix.Recvmsg(int(fd), c.buffer, c.control, 0)
			return failed != unix.EAGAIN
		})
		switch {
		case err != nil:
			return nil, fmt.Errorf("reading packets: %w", os.ErrClosed)
		case failed == unix.EINTR || errors.Is(failed, unix.ENETDOWN): // an interface went down; others are up
			continue
		case failed != nil:
			return nil, fmt.Errorf("reading packets: %w", failed)
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if !ok || link.Pkttype == unix.PACKET_OUTGOING && c.loopback[link.Ifindex] {
			continue // the loopback shows each packet twice
		}
		data := append([]byte(nil), c.buffer[:n]...)
		return &Packet{Time: timestamp(c.control[:oobn]), Interface: c.names[link.Ifindex], Data: data, Length: n}, nil
	}
}

// timestamp is the kernel's, now if it gave none.
func timestamp(control []byte) time.Time {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Now()
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})) {
			t := (*unix.Timespec)(unsafe.Pointer(&m.Data[0]))
			return time.Unix(t.Unix())
		}
	}
	return time.Now()
}

// Dropped returns how many packets came, and how many of them were lost because they were not read in time.
func (c *Capture) Dropped() (captured, dropped uint64) {
	_ = c.raw.Control(func(fd uintptr) {
		// Reading clears the kernel's numbers. The first one holds the second.
		if s, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			c.captured += uint64(s.Packets)
			c.dropped += uint64(s.Drops)
		}
	})
	return c.captured, c.dropped
}

// Close ends the capture, and a Next that waits.
func (c *Capture) Close() error { return c.file.Close() }
