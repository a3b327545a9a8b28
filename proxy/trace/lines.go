package trace

import (
	"bytes"

	"github.com/ftpgate/ftpgate/proxy/ftp"
)

// maxLine bounds a line that is kept, in bytes. What is longer is cut.
const maxLine = 8 << 10

// Telnet's bytes that are no text (RFC 854).
const (
	telnetIAC  = 0xff
	telnetWill = 251 // the first of the four that have an option
)

// isTLS says whether bytes begin with the header of a TLS record (RFC 8446 §5.1), which no line of FTP does.
func isTLS(b []byte) bool { return len(b) >= 2 && b[0] >= 0x14 && b[0] <= 0x17 && b[1] == 0x03 }

// lines cuts one direction of a control connection into lines. Of the client's direction it overwrites, in the memory of
// what it reads, secrets and whatever may be one.
type lines struct {
	client bool // commands, which may hold secrets
	known  bool // the beginning of the line has been seen
	begun  bool // a byte has come
	opaque bool // TLS: nothing more is read

	line   []byte
	at     []int // where each byte of line that is new stands in what is being read
	telnet byte  // 0, IAC, or one that an option follows
	secret bool  // the line has a secret, also where it was cut
	from   int   // where in the line it begins

	found  []string // lines read since take
	masked bool     // something was overwritten since take
}

// read implements sink.
func (l *lines) read(b []byte) {
	if l.opaque {
		return
	}
	if isTLS(b) && (!l.begun || l.known && len(l.line) == 0) {
		l.opaque = true
		return
	}
	l.begun = true
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		piece := b
		if end >= 0 {
			piece = b[:end]
		}
		l.piece(piece)
		if end < 0 {
			return
		}
		b = b[end+1:]
		l.end()
	}
}

// lost implements sink: what comes next may be the rest of a line with a secret.
func (l *lines) lost(int) {
	l.known, l.secret, l.telnet = false, false, 0
	l.line = l.line[:0]
}

// piece takes a part of a line, without its LF.
func (l *lines) piece(b []byte) {
	if !l.known {
		l.mask(b, 0)
		return
	}
	first := len(l.line)
	l.at = l.at[:0]
	for i, c := range b {
		switch {
		case l.telnet == telnetIAC && c >= telnetWill && c != telnetIAC:
			l.telnet = c
			continue
		case l.telnet == telnetIAC && c == telnetIAC:
			l.telnet = 0 // a doubled one is a byte of text
		case l.telnet != 0:
			l.telnet = 0
			continue
		case c == telnetIAC:
			l.telnet = c
			continue
		}
		if len(l.line) < maxLine {
			l.line = append(l.line, c)
			l.at = append(l.at, i)
		}
	}
	if !l.secret && l.client {
		l.from, l.secret = ftp.SecretFrom(l.line)
	}
	if !l.secret {
		return
	}
	from := l.from
	if from < len(l.line) && l.line[from] == ' ' {
		from++ // so that a dissector sees verb and argument
	}
	switch {
	case from < first:
		l.mask(b, 0)
	case from-first < len(l.at):
		l.mask(b, l.at[from-first])
	}
}

// mask overwrites what may be a secret.
func (l *lines) mask(b []byte, from int) {
	if !l.client {
		return
	}
	for i := from; i < len(b); i++ {
		if b[i] != '\r' {
			b[i] = '*'
			l.masked = true
		}
	}
}

// end ends a line.
func (l *lines) end() {
	if l.known {
		l.found = append(l.found, string(bytes.TrimSuffix(l.line, []byte{'\r'})))
	}
	l.known, l.secret, l.telnet = true, false, 0
	l.line = l.line[:0]
}

// take returns the lines found since the last call.
func (l *lines) take() []string {
	found := l.found
	l.found = nil
	return found
}
