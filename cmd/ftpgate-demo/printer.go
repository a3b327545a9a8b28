package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// columns is the width of all that is printed.
const columns = 100

// Escape sequences of terminals (ECMA-48, SGR).
const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
	blue  = "36"
)

// printer writes for people: in colours on a terminal, else in plain text.
type printer struct {
	w        io.Writer
	terminal bool
	colour   bool
}

func newPrinter(f *os.File) *printer {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	// See no-color.org: set to anything but the empty string, it forbids colour.
	return &printer{w: f, terminal: err == nil, colour: err == nil && os.Getenv("NO_COLOR") == ""}
}

func (p *printer) paint(colour, text string) string {
	if !p.colour || colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

func (p *printer) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

// heading begins a part.
func (p *printer) heading(format string, args ...any) {
	p.line("\n%s", p.paint(bold, fmt.Sprintf(format, args...)))
}

// paragraph prints text in lines of the page's width.
func (p *printer) paragraph(format string, args ...any) {
	for _, l := range wrap(strings.Fields(fmt.Sprintf(format, args...)), columns-2, "") {
		p.line("  %s", l)
	}
}

// field prints a labelled value, of as many lines as its words take.
func (p *printer) field(label, colour string, words ...string) {
	const left = 20
	for _, l := range wrap(words, columns-left-2, "  ") {
		p.line("  %s%s", p.paint(dim, fmt.Sprintf("%-*s", left, label)), p.paint(colour, l))
		label = ""
	}
}

// progress replaces the last line on a terminal; elsewhere it is a line like any other.
func (p *printer) progress(format string, args ...any) {
	if !p.terminal {
		p.line(format, args...)
		return
	}
	fmt.Fprintf(p.w, "\r\x1b[K"+format, args...)
}

// wrap joins words to lines. A word that is longer than the width stays whole.
func wrap(words []string, width int, indent string) []string {
	var lines []string
	line := ""
	for _, word := range words {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = indent + word
		}
	}
	return append(lines, line)
}

// difference shows the lines that only one of two texts has.
func difference(before, after string) string {
	count := make(map[string]int)
	for line := range strings.Lines(before) {
		count[line]--
	}
	for line := range strings.Lines(after) {
		count[line]++
	}
	var b strings.Builder
	for _, text := range []string{before, after} {
		for line := range strings.Lines(text) {
			switch n := count[line]; {
			case n < 0:
				b.WriteString("- " + line)
			case n > 0:
				b.WriteString("+ " + line)
			}
			count[line] = 0
		}
	}
	return b.String()
}
