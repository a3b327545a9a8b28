package ftp

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

const (
	// blockSize holds a line of either side and a good part of what is pipelined behind it.
	blockSize = 8 << 10
	// minRead is the room that a read has at least.
	minRead = 512
)

// block is the memory of one connection that has something to read.
type block [blockSize]byte

// blocks are shared by all connections, so that thousands of idle sessions hold none. No caller can observe its state.
var blocks = sync.Pool{New: func() any { return new(block) }}

// read waits for bytes and puts them into the block, which it takes if there is none.
func (l *lines) read() (int, error) {
	if l.raw == nil {
		l.take()
		n, err := l.conn.Read(l.block[l.filled:])
		if n > 0 {
			err = nil // the next read says it again
		}
		return n, err
	}
	if err := l.raw.Read(l.attempt); err != nil {
		return 0, err
	}
	switch {
	case l.errno != 0:
		return 0, l.failure("read", l.errno)
	case l.n == 0:
		return 0, io.EOF
	}
	return l.n, nil
}

// readNow reads without waiting, and says whether it has a result. The block is held no longer than needed.
func (l *lines) readNow(descriptor uintptr) bool {
	held := l.block != nil
	l.take()
	for {
		l.n, l.errno = immediately(syscall.SYS_READ, descriptor, l.block[l.filled:])
		if l.errno != syscall.EINTR {
			break
		}
	}
	if l.errno != 0 || l.n == 0 {
		l.n = 0
		if !held {
			blocks.Put(l.block)
			l.block = nil
		}
	}
	return l.errno != syscall.EAGAIN
}

// lookNow says whether a read would have a result. It leaves that to the read: recv(MSG_PEEK) would take an error away.
// The call is a raw one: it cannot block, and needs no stack.
func lookNow(descriptor uintptr) bool {
	const pollIn = 1 // POLLIN; errors and hang-ups are told in any case (poll(2))
	ask := struct {
		descriptor   int32
		events, tell int16
	}{descriptor: int32(descriptor), events: pollIn}
	var now syscall.Timespec
	n, _, errno := syscall.RawSyscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&ask)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	return n > 0 || errno != 0 && errno != syscall.EINTR
}

// immediately is a system call on a descriptor that does not block. Go's scheduler is not told of it, as it is of calls that
// may take long: telling it wakes, at each line of a dialogue that waits most of the time, a thread that then watches
// the call, and takes longer than the call itself.
func immediately(call, descriptor uintptr, p []byte) (n int, errno syscall.Errno) {
	r, _, errno := syscall.RawSyscall(call, descriptor, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(r), 0
}

// failure is the error of a system call as net has it.
func (l *lines) failure(call string, errno syscall.Errno) error {
	return &net.OpError{
		Op: call, Net: l.conn.LocalAddr().Network(), Source: l.conn.LocalAddr(), Addr: l.conn.RemoteAddr(),
		Err: os.NewSyscallError(call, errno),
	}
}

func (l *lines) take() {
	if l.block == nil {
		l.block = blocks.Get().(*block)
	}
}
