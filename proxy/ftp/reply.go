package ftp

import (
	"bytes"
	"fmt"
	"io"
	"iter"
)

// Reply is one complete answer of a server, however many lines it has. It belongs to the Conn that read it and is valid
// until the next read there.
type Reply struct {
	Code int // 100 to 699; 6yz are the protected replies of RFC 2228

	raw   []byte // every line with CRLF, as sent on
	final int    // where the final line begins in raw
	lines int
	open  bool // a multi-line reply whose final line has not come
}

// Bytes returns the reply to send on: CRLF at each line end, no CR, LF or NUL elsewhere but CR NUL, and one space before
// each line between the first and the last that looks like a reply of its own. Clients disagree on where a
// multi-line reply ends (curl and lftp: at any code with a space); with the space they agree.
func (r *Reply) Bytes() []byte { return r.raw }

// Text returns the text of the final line, behind code and space.
func (r *Reply) Text() []byte {
	line := bytes.TrimSuffix(r.raw[r.final:], crlf)
	return line[min(len("227 "), len(line)):]
}

// Lines yields the lines of Bytes in order without their ends, the first one ("211-Features:") included.
func (r *Reply) Lines() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest := r.raw; len(rest) > 0; {
			var line []byte
			line, rest, _ = bytes.Cut(rest, crlf)
			if !yield(line) {
				return
			}
		}
	}
}

// Count returns the number of lines.
func (r *Reply) Count() int { return r.lines }

// Preliminary says whether another reply to the same command follows: 1yz (RFC 959 §4.2).
func (r *Reply) Preliminary() bool { return r.Code/100 == 1 }

// ParseReply reads the first reply of text and returns what follows it. Lines end in CRLF or LF. It fails with a
// *ReplyError, or with io.ErrUnexpectedEOF when text ends before the reply does. Line lengths are not limited.
func ParseReply(text []byte) (reply Reply, rest []byte, err error) {
	limits := Limits{}.withDefaults()
	for rest = text; ; {
		line, after, found := bytes.Cut(rest, []byte{'\n'})
		if !found {
			return Reply{}, text, io.ErrUnexpectedEOF
		}
		rest = after
		line = bytes.Clone(bytes.TrimSuffix(line, []byte{'\r'})) // defuse works in place
		done, err := reply.add(line, limits)
		if err != nil {
			return Reply{}, text, err
		}
		if done {
			return reply, rest, nil
		}
	}
}

var crlf = []byte("\r\n")

// add takes the next line, and says whether the reply is complete. The first line is taken over with its memory, of
// which two bytes behind the line may be used if they belong to its capacity.
func (r *Reply) add(line []byte, limits Limits) (done bool, err error) {
	line = defuse(line)
	r.lines++
	switch {
	case r.lines > limits.ReplyLines:
		return false, &ReplyError{Why: fmt.Sprintf("more than %d lines", limits.ReplyLines)}
	case !r.open && len(line) == 0:
		return false, nil // a stray empty line between replies
	case !r.open:
		done, err = r.begin(line)
	default:
		done = r.proceed(line)
	}
	if err == nil && len(r.raw) > limits.Reply {
		return false, &ReplyError{Why: fmt.Sprintf("more than %d bytes", limits.Reply)}
	}
	return done, err
}

// begin takes the first line: a code, then a space or nothing in a reply of one line, or a hyphen.
func (r *Reply) begin(line []byte) (done bool, err error) {
	if len(line) < 3 || !hasCode(line) || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return false, &ReplyError{Why: "no reply code: " + Quote(line)}
	}
	if line[0] < '1' || line[0] > '6' {
		return false, &ReplyError{Why: "impossible reply code: " + Quote(line)}
	}
	r.Code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	r.lines = 1
	r.open = len(line) > 3 && line[3] == '-'
	r.raw = append(line, crlf...)
	return !r.open, nil
}

// proceed takes a further line. Only the first line's code followed by a space ends the reply (RFC 959 §4.2).
func (r *Reply) proceed(line []byte) (done bool) {
	if len(line) > 3 && hasCode(line) && (line[3] == ' ' || line[3] == '-') {
		if line[3] == ' ' && bytes.Equal(line[:3], r.raw[:3]) {
			r.final = len(r.raw)
			r.open = false
		} else {
			r.raw = append(r.raw, ' ')
		}
	}
	r.raw = append(r.raw, line...)
	r.raw = append(r.raw, crlf...)
	return !r.open
}

// hasCode says whether a line of at least three bytes begins with three digits.
func hasCode(line []byte) bool { return isDigit(line[0]) && isDigit(line[1]) && isDigit(line[2]) }

// defuse takes out of a server's line, in place, what a client could read as a line end: CRs before the end vanish (a
// banner kept in a file with CRLF arrives with CR CR LF), other lone CRs and NULs become a space. CR NUL stays: it is
// the literal CR of a path. Unlike a command, a reply has no sender who could be told.
func defuse(line []byte) []byte {
	if clean(line) {
		return line
	}
	line = bytes.TrimRight(line, "\r")
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '\r' && i+1 < len(line) && line[i+1] == 0:
			i++
		case line[i] == '\r' || line[i] == 0:
			line[i] = ' '
		}
	}
	return line
}
