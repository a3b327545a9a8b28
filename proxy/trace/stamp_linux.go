package trace

import (
	"time"

	"golang.org/x/sys/unix"
)

// stampTime bounds the wait for the kernel's timestamps.
const stampTime = time.Second

// awaitStamps waits until the kernel stamps packets. It begins that a moment after it was asked to (net_enable_timestamp defers
// it), and packets that come before get the time at which they are read, later than those that follow. A datagram of
// our own on the loopback tells; without one there is nothing to wait for but a moment.
func awaitStamps() {
	if !untilStamped(time.Now().Add(stampTime)) {
		time.Sleep(stampTime / 50)
	}
}

// untilStamped says whether a datagram was stamped before the end.
func untilStamped(end time.Time) bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	const software = unix.SOF_TIMESTAMPING_RX_SOFTWARE | unix.SOF_TIMESTAMPING_SOFTWARE
	wait := unix.NsecToTimeval(int64(stampTime / 50))
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING, software) != nil ||
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait) != nil ||
		unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}) != nil {
		return false
	}
	own, err := unix.Getsockname(fd)
	if err != nil || unix.Connect(fd, own) != nil {
		return false
	}
	control := make([]byte, 256)
	for time.Now().Before(end) {
		if _, err := unix.Write(fd, []byte{0}); err != nil {
			return false
		}
		_, n, _, _, err := unix.Recvmsg(fd, make([]byte, 1), control, 0)
		if err != nil {
			return false
		}
		messages, err := unix.ParseSocketControlMessage(control[:n])
		if err == nil && len(messages) > 0 {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}
