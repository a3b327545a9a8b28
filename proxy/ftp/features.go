package ftp

import (
	"bytes"
	"strings"
)

// FilterFeatures returns a FEAT reply (211, RFC 2389 §3.2) without the lines between the first and the last whose
// feature drop names. drop gets the first word of the line in upper case: "AUTH" for " AUTH TLS". All other lines stay
// byte for byte; if none goes, the result is r.Bytes() itself, and valid as long.
func FilterFeatures(r *Reply, drop func(feature string) bool) []byte {
	var kept []byte
	number, end := 0, 0 // of the line at hand; its end in r.raw
	for line := range r.Lines() {
		begin := end
		end += len(line) + len(crlf)
		number++
		inside := number > 1 && number < r.lines
		if inside && drop(feature(line)) {
			if kept == nil {
				kept = append(make([]byte, 0, len(r.raw)), r.raw[:begin]...)
			}
			continue
		}
		if kept != nil {
			kept = append(kept, r.raw[begin:end]...)
		}
	}
	if kept == nil {
		return r.raw
	}
	return kept
}

// feature returns the first word of a line. Servers older than RFC 2389 repeat the code: "211-MDTM".
func feature(line []byte) string {
	line = bytes.TrimLeft(line, " ")
	if len(line) > 3 && hasCode(line) && line[3] == '-' {
		line = line[len("211-"):]
	}
	word, _, _ := bytes.Cut(bytes.TrimLeft(line, " "), []byte{' '})
	return strings.ToUpper(string(word))
}
