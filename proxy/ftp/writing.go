package ftp

import (
	"sync"
	"syscall"
)

// writing is the way out of a Conn.
type writing struct {
	attempt func(uintptr) bool // writeNow, kept as a value so that a write does not allocate

	mu    sync.Mutex
	rest  []byte        // what the kernel has not taken yet
	errno syscall.Errno // result of writeNow
}

// write sends p, however often the kernel takes a part of it. It waits by means of the lines' descriptor.
func (w *writing) write(l *lines, p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = p
	err := l.raw.Write(w.attempt)
	written := len(p) - len(w.rest)
	w.rest = nil
	switch {
	case err != nil: // the deadline, or the end of the connection
		return written, err
	case w.errno != 0:
		return written, l.failure("write", w.errno)
	}
	return written, nil
}

// writeNow writes without waiting, and says whether it is done.
func (w *writing) writeNow(descriptor uintptr) bool {
	for len(w.rest) > 0 {
		var n int
		n, w.errno = immediately(syscall.SYS_WRITE, descriptor, w.rest)
		switch w.errno {
		case 0:
			w.rest = w.rest[n:]
		case syscall.EINTR:
		default:
			return w.errno != syscall.EAGAIN
		}
	}
	w.errno = 0
	return true
}
