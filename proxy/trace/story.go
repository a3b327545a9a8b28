package trace

import (
	"fmt"
	"io"
	"time"
)

// Line is one line of the story. Its text is escaped and holds no secret.
type Line struct {
	Time    time.Time
	Session int
	Detail  bool // it belongs to the line before
	Text    string
}

// maxFailures bounds the failures that a summary names.
const maxFailures = 100

// Summary is what it all came to.
type Summary struct {
	Sessions    int
	Transfers   int // that had a final reply
	Connections int // data connections that ended
	Bytes       int64
	TLS         int // sessions that turned to TLS
	Lost        int // bytes of control connections that were not captured
	NotFollowed int // connections beyond the bounds
	Failures    []Failure
	More        int // failures that are not named

	numbers int // of sessions
}

// Failure is something that did not work, and why.
type Failure struct {
	Session int
	Text    string
}

func (s *Summary) fail(session int, text string) {
	if len(s.Failures) == maxFailures {
		s.More++
		return
	}
	s.Failures = append(s.Failures, Failure{session, text})
}

// data counts a data connection that has ended.
func (s *Summary) data(w *flow, hidden bool) {
	if !hidden {
		s.Connections++
		s.Bytes += w.up.total + w.down.total
	}
}

// Printer writes the story for people: time, time since the latest line, session, text. What could only be told when more
// was known, such as whose a connection is, bears its own time and the word earlier.
type Printer struct {
	w    io.Writer
	last time.Time // the latest
}

// NewPrinter returns a printer.
func NewPrinter(w io.Writer) *Printer { return &Printer{w: w} }

// Print writes one line.
func (p *Printer) Print(l Line) error {
	since := ""
	switch {
	case p.last.IsZero():
		p.last = l.Time
	case l.Time.Before(p.last):
		since = "earlier"
	default:
		since = "+" + span(l.Time.Sub(p.last))
		p.last = l.Time
	}
	indent := ""
	if l.Detail {
		indent = "    "
	}
	_, err := fmt.Fprintf(p.w, "%s %9s  [%d] %s%s\n", l.Time.Format("15:04:05.000"), since, l.Session, indent, l.Text)
	return err
}

// Print writes the summary.
func (s Summary) Print(w io.Writer) error {
	_, err := fmt.Fprintf(w, "\n%s, %s, %s with %s\n", some(s.Sessions, "session"), some(s.Transfers, "transfer"),
		some(s.Connections, "data connection"), some(s.Bytes, "byte"))
	write := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format, args...)
		}
	}
	if s.TLS > 0 {
		write("%s turned to TLS: nothing more could be read\n", some(s.TLS, "session"))
	}
	if s.Lost > 0 {
		write("%s of control connections not captured: the story has holes\n", some(s.Lost, "byte"))
	}
	if s.NotFollowed > 0 {
		write("%s not followed: too many at a time\n", some(s.NotFollowed, "connection"))
	}
	if len(s.Failures) == 0 {
		return err
	}
	write("what did not work:\n")
	for _, f := range s.Failures {
		write("  [%d] %s\n", f.Session, f.Text)
	}
	if s.More > 0 {
		write("  and %d more\n", s.More)
	}
	return err
}

func some[N int | int64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
