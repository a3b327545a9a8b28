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
	}
	if s, _, ok := findSecret(line); ok {
		return s.String() + mask
	}
	return Quote(line)
}

// SecretFrom returns where the secret in a command line begins, len(line) if there is none: what Redact masks. It also holds for
// the beginning of a line: what follows a secret verb is secret, however the line goes on.
func SecretFrom(line []byte) (from int, secret bool) {
	_, rest, ok := findSecret(line)
	return len(line) - len(rest), ok
}

// findSecret returns what follows the secret verb at the beginning of a line.
func findSecret(line []byte) (s secret, rest []byte, ok bool) {
	for _, s := range secretVerbs {
		rest, ok := cutWord(line, s.verb)
		if ok && s.sub != "" {
			rest, ok = cutWord(rest, s.sub)
		}
		if ok {
			return s, rest, true
		}
	}
	return secret{}, nil, false
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
