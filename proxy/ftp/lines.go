package ftp

import (
	"fmt"
	"net"
	"syscall"
)

// The first two bytes of a TLS handshake (RFC 8446 §5.1), which no verb and no reply code can begin with. They are
// looked for without waiting for a line end, which may not come.
const (
	tlsHandshake = 0x16
	tlsMajor     = 0x03
)

// lines cuts a byte stream into lines, without Telnet commands. Inside the block lie, in this order, the line as far
// as it is known and the bytes not yet looked at:
//
//	[ ... | line | gap | unread | free ]
//	     start  end   next     filled
//
// The gap, one byte at the beginning, is what makes room for a CRLF behind a line that ended in a bare LF.
type lines struct {
	conn    net.Conn
	raw     syscall.RawConn    // nil: conn has no file descriptor, plain reads
	attempt func(uintptr) bool // readNow, kept as a value so that a read does not allocate
	look    func(uintptr) bool // lookNow, likewise
	n       int                // result of readNow
	errno   syscall.Errno      // result of readNow

	block                    *block // nil: nothing held
	start, end, next, filled int
	open                     bool // the line in the block has not ended
	overlong                 bool // its rest is being discarded
	telnet                   telnet
}

func (l *lines) init(conn net.Conn) {
	l.conn = conn
	l.reset()
	if descriptor, ok := conn.(syscall.Conn); ok {
		if raw, err := descriptor.SyscallConn(); err == nil {
			l.raw, l.attempt, l.look = raw, l.readNow, lookNow
		}
	}
}

// reset gives the block back.
func (l *lines) reset() {
	if l.block != nil {
		blocks.Put(l.block)
		l.block = nil
	}
	l.start, l.end, l.next, l.filled = 0, 0, 1, 1
}

// partial says whether a line has begun.
func (l *lines) partial() bool {
	return l.open && (l.end > l.start || l.overlong || l.telnet.state != telnetData)
}

// buffered counts the bytes that were read and belong to no line returned.
func (l *lines) buffered() int {
	count := l.filled - l.next
	if l.open {
		count += l.end - l.start
	}
	if l.telnet.state != telnetData || l.open && l.overlong {
		count++
	}
	return count
}

// unread is what has been read and not been looked at.
func (l *lines) unread() []byte {
	if l.block == nil {
		return nil
	}
	return l.block[l.next:l.filled]
}

// begin starts a line, unless one was left unfinished by a deadline.
func (l *lines) begin() {
	if l.open {
		return
	}
	l.start, l.end = l.next-1, l.next-1
	l.open, l.overlong, l.telnet.removed = true, false, 0
}

// scan looks at the unread bytes up to the end of the line, and says whether it came. answer sends the refusal of a
// Telnet option.
func (l *lines) scan(limit int, answer func([]byte) (int, error)) (done bool, err error) {
	for l.next < l.filled {
		b := l.block[l.next]
		l.next++
		if l.telnet.state != telnetData || b == telnetIAC {
			action, err := l.telnet.next(b)
			if err != nil {
				return false, err
			}
			switch action {
			case telnetDrop:
				continue
			case telnetRefuse:
				refusal := l.telnet.refusal(b)
				if _, err := answer(refusal[:]); err != nil {
					return false, fmt.Errorf("refusing a Telnet option: %w", err)
				}
				continue
			case telnetDouble:
				l.keep(b, limit)
			}
		}
		if b == '\n' {
			l.open = false
			return true, nil
		}
		l.keep(b, limit)
		if l.end-l.start == 2 && l.block[l.start] == tlsHandshake && b == tlsMajor {
			return false, errClientHello
		}
	}
	return false, nil
}

// keep appends a byte to the line. One more than the limit is kept, because it may be the CR of the line end.
func (l *lines) keep(b byte, limit int) {
	if l.end-l.start > limit {
		l.overlong = true
		return
	}
	l.block[l.end] = b
	l.end++
}

// line returns the line that scan found, without CRLF or LF, with room for CRLF in its capacity. With errOverlong it
// is the beginning of the line.
func (l *lines) line(limit int) ([]byte, error) {
	end := l.end
	if end > l.start && l.block[end-1] == '\r' && !l.overlong {
		end--
	}
	line := l.block[l.start : end : end+len(crlf)]
	if l.overlong || len(line) > limit {
		return line, errOverlong
	}
	return line, nil
}

// fill reads more; all that was read before has been looked at.
func (l *lines) fill() error {
	switch {
	case !l.partial():
		l.reset()
	case blockSize-l.filled < minRead:
		l.end = copy(l.block[:], l.block[l.start:l.end])
		l.start = 0
		l.next = l.end + 2 // the gap, and an IAC that may have to go on doubled
		l.filled = l.next
	}
	n, err := l.read()
	l.filled += n
	return err
}
