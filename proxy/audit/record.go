package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/ftpgate/ftpgate/proxy"
)

// record is the JSON object of one transfer, or of a negotiation that led to none
// (kind none). Its keys are those of the status endpoint's transfers. Text that is
// no UTF-8 has its wrong bytes replaced, and stands beside it in base64.
type record struct {
	Time       time.Time `json:"time"` // when its command came, UTC
	Duration   float64   `json:"duration_seconds"`
	Session    uint64    `json:"session"`
	Rule       string    `json:"rule"`
	Direction  string    `json:"direction"`
	User       string    `json:"user"`
	UserBytes  []byte    `json:"user_bytes,omitempty"`
	Client     string    `json:"client"`
	Server     string    `json:"server"`
	Verb       string    `json:"verb"`
	Path       string    `json:"path"`
	PathBytes  []byte    `json:"path_bytes,omitempty"`
	Kind       string    `json:"kind"`
	Mode       string    `json:"mode"`
	Bytes      uint64    `json:"bytes"`
	Result     string    `json:"result"`
	Reply      string    `json:"reply"`
	ReplyBytes []byte    `json:"reply_bytes,omitempty"`
	Cause      string    `json:"cause,omitempty"`
	Diagnosis  string    `json:"diagnosis,omitempty"`
	Evidence   []string  `json:"evidence,omitempty"`
}

// transferLine is the line of a transfer in audit.transfers.
func transferLine(t *proxy.Transfer) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.Encode(record{ // of nothing but texts and numbers: it cannot fail
		Time: t.Began.UTC().Round(time.Microsecond), Duration: t.Duration.Round(time.Microsecond).Seconds(),
		Session: t.Session, Rule: t.Rule, Direction: t.Direction,
		User: t.User, UserBytes: faithful(t.User), Client: t.Client.String(), Server: t.Server.String(),
		Verb: t.Verb, Path: t.Path, PathBytes: faithful(t.Path), Kind: string(t.Kind), Mode: string(t.Mode),
		Bytes: t.Bytes, Result: string(t.Result), Reply: t.Reply, ReplyBytes: faithful(t.Reply),
		Cause: string(t.Cause), Diagnosis: t.Sentence, Evidence: t.Evidence,
	})
	return escaped(b.Bytes())
}

// faithful is what a text really was, where JSON cannot say it; else nil.
func faithful(text string) []byte {
	if utf8.ValidString(text) {
		return nil
	}
	return []byte(text)
}

// escaped writes what a terminal might obey, or turn around, as \u: encoding/json
// does so only for ASCII's control characters. The line's own end stays.
func escaped(line []byte) []byte {
	plain := func(r rune) bool { return r == '\n' || unicode.IsPrint(r) }
	if bytes.IndexFunc(line, func(r rune) bool { return !plain(r) }) < 0 {
		return line
	}
	var b bytes.Buffer
	for _, r := range string(line) {
		switch {
		case plain(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.Bytes()
}
