package configs

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Error is one thing wrong with a configuration, in words for the administrator who has to mend it.
type Error struct {
	File    string
	Line    int    // from 1; 0 if it is about the whole file
	Key     string // path from the top, such as rules[0].direction; empty if it is about the file
	Value   string // as the file states it; empty if it is not about a value
	Problem string
	Cure    string

	cause error // of the operating system, if the file could not be read
}

// Error reads: file:line: key: "value": problem; cure.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		b.WriteString(":" + strconv.Itoa(e.Line))
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	if e.Value != "" {
		b.WriteString(quote(e.Value) + ": ")
	}
	b.WriteString(e.Problem)
	if e.Cure != "" {
		b.WriteString("; " + e.Cure)
	}
	return b.String()
}

// Unwrap gives the operating system's error, if there is one: a missing file is fs.ErrNotExist.
func (e *Error) Unwrap() error { return e.cause }

// Errors is everything that is wrong with a configuration, in the order of the lines. It is never empty.
type Errors []*Error

// Error is one line for each.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As and errors.Is look at each.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

// Warning is something that is allowed and probably not meant; it has the fields of an [Error].
type Warning Error

// String is the warning in the form of an error: file:line: key: "value": problem; cure.
func (w Warning) String() string { return (*Error)(&w).Error() }

// longestQuote bounds what an error repeats of a value, in bytes; a value may be as long as a line.
const longestQuote = 100

// quote shows a value on one line, with anything that a terminal would obey escaped.
func quote(value string) string {
	if len(value) > longestQuote {
		value = value[:longestQuote] + "…"
	}
	return strconv.Quote(value)
}

// sortByLine keeps the order of findings in the same line.
func sortByLine(found []*Error) {
	slices.SortStableFunc(found, func(a, b *Error) int { return cmp.Compare(a.Line, b.Line) })
}
