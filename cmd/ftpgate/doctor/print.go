package doctor

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// widths of the column of checks, and of the text of a finding.
const (
	labelWidth = 12
	lineWidth  = 110
)

// Print writes the report for people: findings first, the worst at the top, then a line for each check.
func (r Report) Print(w io.Writer) error {
	var b bytes.Buffer
	state := "the gateway does not run"
	if r.Running {
		state = "the gateway runs"
	}
	fmt.Fprintf(&b, "%s, backend %s: %s\n\n", r.Config, r.Backend, state)
	for _, s := range []Severity{Fails, Warns, Notes} {
		for _, c := range r.Checks {
			for _, f := range c.Findings {
				if f.Severity == s {
					f.print(&b)
				}
			}
		}
	}
	counts := map[string]int{}
	for _, c := range r.Checks {
		said := c.verdict()
		counts[said]++
		text := c.Saw
		if c.Unchecked != "" {
			text = c.Unchecked
		} else if len(c.Findings) > 0 && !c.Good() {
			text = c.ids()
		}
		fmt.Fprintf(&b, "%-*s%s: %s\n", labelWidth, said, c.Check, wrapped(text, labelWidth))
	}
	verdict := "FTP should work."
	switch {
	case r.Fails:
		verdict = "FTP would fail."
	case counts[unchecked] > 0:
		verdict = "Nothing was found that makes FTP fail, but not all could be looked at."
	case counts[string(Warns)] > 0:
		verdict = "Nothing was found that surely makes FTP fail; look at the warnings."
	}
	fmt.Fprintf(&b, "\n%s\n", verdict)
	_, err := w.Write(b.Bytes())
	return err
}

// unchecked is said of a check that could not be made.
const unchecked = "unchecked"

// verdict is one word for a check.
func (o Outcome) verdict() string {
	switch {
	case o.worst() != Notes:
		return string(o.worst())
	case o.Unchecked != "":
		return unchecked
	}
	return "ok"
}

func (o Outcome) ids() string {
	var ids []string
	for _, f := range o.Findings {
		ids = append(ids, f.ID)
	}
	return strings.Join(ids, ", ") + ", see above"
}

func (f Finding) print(b *bytes.Buffer) {
	fmt.Fprintf(b, "%s  %s\n", strings.ToUpper(string(f.Severity)), f.ID)
	for _, part := range []struct{ name, text string }{{"what", f.What}, {"why", f.Why}} {
		fmt.Fprintf(b, "  %-6s%s\n", part.name, wrapped(printable(part.text), 8))
	}
	if f.Cure != "" {
		fmt.Fprintf(b, "  %-6s%s\n", "cure", printable(f.Cure)) // to paste, so it is not wrapped
	}
	b.WriteByte('\n')
}

// printable escapes what a rule's comment might hold for a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return '?'
	}, text)
}

// wrapped breaks a text into lines that begin at a column.
func wrapped(text string, column int) string {
	var b strings.Builder
	length := column
	for i, word := range strings.Fields(text) {
		if length+len(word) > lineWidth && i > 0 {
			b.WriteString("\n" + strings.Repeat(" ", column))
			length = column
		} else if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(word)
		length += len(word) + 1
	}
	return b.String()
}
