package ftp

import (
	"strconv"
	"unicode/utf8"
)

const (
	mask     = " ****"
	ellipsis = "…"
)

// Redact returns a command line for logs: "PASS ****" for a line whose rest is secret, else Quote(line). The verb is the
// parsed one, or empty for a line that could not be parsed: a line that merely begins with a secret verb, in any
// case, behind or interspersed with whitespace, control bytes or bytes beyond ASCII, is masked as well.
func Redact(verb string, line []byte) string {
	for _, s := range secretVerbs {
		if s.sub == "" && s.verb == verb {
			return s.verb + mask
		}
		rest, ok := cutWord(line, s.verb)
		if !ok {
			continue
		}
		if s.sub == "" {
			return s.verb + mask
		}
		if _, ok := cutWord(rest, s.sub); ok {
			return s.verb + " " + s.sub + mask
		}
	}
	return Quote(line)
}

// cutWord returns what follows the upper-case word at the beginning of line. Leading spaces and all bytes that are
// not printable ASCII are passed over, so that no trick of encoding makes a password visible.
func cutWord(line []byte, word string) (rest []byte, ok bool) {
	matched := 0
	for i, b := range line {
		if matched == len(word) {
			return line[i:], true
		}
		switch {
		case b < ' ' || b > '~' || b == ' ' && matched == 0:
		case upper(b) == word[matched]:
			matched++
		default:
			return nil, false
		}
	}
	return nil, matched == len(word)
}

// Quote returns text of a peer for logs: escaped as by %q, without the outer quotes, at most 256 bytes. A text that had
// to be cut ends in an ellipsis.
func Quote(text []byte) string {
	out := make([]byte, 0, min(len(text)+8, maxQuoted+16))
	fits := 0 // length of out that leaves room for the ellipsis
	var piece [16]byte
	for len(text) > 0 {
		_, size := utf8.DecodeRune(text)
		quoted := strconv.AppendQuote(piece[:0], string(text[:size]))
		out = append(out, quoted[1:len(quoted)-1]...)
		if len(out) > maxQuoted {
			return string(append(out[:fits], ellipsis...))
		}
		if len(out) <= maxQuoted-len(ellipsis) {
			fits = len(out)
		}
		text = text[size:]
	}
	return string(out)
}
