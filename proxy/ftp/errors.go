package ftp

import (
	"errors"
	"fmt"
)

// ErrEmptyLine is a line without a byte. Clients send such lines by accident and expect no answer.
var ErrEmptyLine = errors.New("empty line")

// ErrFamily is an EPRT whose network protocol (RFC 2428 §2) is neither 1 (IPv4) nor 2 (IPv6). The answer is 522 with the
// list of protocols that the session can do, which only the session knows.
var ErrFamily = errors.New("unknown network protocol in EPRT")

// ErrLineTimeout is a line that was begun and not ended within LineTimeout or ReplyTimeout. Nothing can be read after it.
// It comes together with os.ErrDeadlineExceeded.
var ErrLineTimeout = errors.New("a line did not end in time")

// SyntaxError is a command that was not understood: what to answer and what to log. Unless it is Fatal, the
// connection goes on with the next line.
type SyntaxError struct {
	Code  int    // reply code; 0: close without a word (only with Fatal)
	Say   string // text of the reply, 7-bit ASCII, without code and line end
	Why   string // for the operator; secrets masked, client text escaped
	Fatal bool   // answer, then close the connection

	unclean bool // the line held a lone CR, NUL or LF: counts as an offence of the connection
}

func (e *SyntaxError) Error() string {
	if e.Code == 0 {
		return e.Why
	}
	return fmt.Sprintf("%d %s: %s", e.Code, e.Say, e.Why)
}

// ReplyError is a reply that nobody can pair with a command any more: a bad code, too long, too many lines, a Telnet
// flood. The connection to the server has lost its place and must be closed.
type ReplyError struct {
	Why string // for the operator; server text escaped
}

func (e *ReplyError) Error() string { return "malformed reply: " + e.Why }

// Failures of a line that are independent of which side sent it; ReadCommand and ReadReply give them their answer.
var (
	errOverlong       = errors.New("line too long")
	errTelnetFlood    = errors.New("too many Telnet commands")
	errSubnegotiation = errors.New("endless Telnet subnegotiation")
	errClientHello    = errors.New("a TLS handshake on a clear-text connection")
)

// notUnderstood is a 500 after which the session lives.
func notUnderstood(why string) *SyntaxError {
	return &SyntaxError{Code: 500, Say: "Command not understood.", Why: why}
}

// badArgument is a 501 after which the session lives.
func badArgument(why string) *SyntaxError {
	return &SyntaxError{Code: 501, Say: "Syntax error in parameters or arguments.", Why: why}
}
