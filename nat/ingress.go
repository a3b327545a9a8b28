package nat

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// errNoIngress means that the kernel's answer lacked the packet information.
var errNoIngress = errors.New("the kernel does not tell the interface")

// packetOptionsSize is room for every control message that a TCP socket may answer with.
const packetOptionsSize = 512

// ingress4 asks for the packet information of an accepted IPv4 socket (ip(7)).
func ingress4(fd int) (int, error) {
	options, err := packetOptions(fd, unix.SOL_IP, unix.IP_PKTINFO, unix.IP_PKTOPTIONS)
	if err != nil {
		return 0, err
	}
	return findIngress(options, func(message unix.SocketControlMessage) (uint32, bool) {
		if message.Header.Level != unix.SOL_IP || message.Header.Type != unix.IP_PKTINFO ||
			len(message.Data) < unix.SizeofInet4Pktinfo {
			return 0, false
		}
		return uint32((*unix.Inet4Pktinfo)(unsafe.Pointer(&message.Data[0])).Ifindex), true
	})
}

// ingress6 does the same with the form of RFC 2292, the only one that a stream answers.
func ingress6(fd int) (int, error) {
	options, err := packetOptions(fd, unix.SOL_IPV6, unix.IPV6_2292PKTINFO, unix.IPV6_2292PKTOPTIONS)
	if err != nil {
		return 0, err
	}
	return findIngress(options, func(message unix.SocketControlMessage) (uint32, bool) {
		if message.Header.Level != unix.SOL_IPV6 || message.Header.Type != unix.IPV6_2292PKTINFO ||
			len(message.Data) < unix.SizeofInet6Pktinfo {
			return 0, false
		}
		return (*unix.Inet6Pktinfo)(unsafe.Pointer(&message.Data[0])).Ifindex, true
	})
}

// packetOptions switches an information on, reads it, and switches it off again: while
// it is on, an IPv6 socket keeps a copy of each packet.
func packetOptions(fd, level, information, options int) ([]byte, error) {
	if err := unix.SetsockoptInt(fd, level, information, 1); err != nil {
		return nil, fmt.Errorf("ask for packet information: %w", err)
	}
	defer unix.SetsockoptInt(fd, level, information, 0)

	// The answer is larger than the fixed types that x/sys/unix reads.
	buffer := make([]byte, packetOptionsSize)
	length := uint32(len(buffer))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(options),
		uintptr(unsafe.Pointer(&buffer[0])), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("read packet options: %w", errno)
	}
	return buffer[:length], nil
}

func findIngress(options []byte, read func(unix.SocketControlMessage) (uint32, bool)) (int, error) {
	messages, err := unix.ParseSocketControlMessage(options)
	if err != nil {
		return 0, fmt.Errorf("read packet options: %w", err)
	}
	for _, message := range messages {
		if index, ok := read(message); ok && index != 0 {
			return int(index), nil
		}
	}
	return 0, errNoIngress
}
