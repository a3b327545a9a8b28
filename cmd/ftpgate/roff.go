//go:build docs

package main

import (
	"bytes"
	"fmt"
	"strings"
)

// page is a man page in the making, see man(7) and groff_char(7).
type page struct{ bytes.Buffer }

func newPage(name string, section int, date, short string) *page {
	p := new(page)
	version, _, _ := strings.Cut(versionText(), " ")
	fmt.Fprintf(p, ".TH %q %d %q %q \"ftpgate\"\n.nh\n", strings.ToUpper(name), section, date, "ftpgate "+version)
	p.section("NAME")
	p.line(roff(name) + ` \- ` + roff(short))
	return p
}

func (p *page) section(name string) { fmt.Fprintf(p, ".SH %q\n", name) }

// line writes what has its markup already.
func (p *page) line(marked string) { fmt.Fprintln(p, marked) }

// text writes paragraphs; what is indented by four spaces stays as it is.
func (p *page) text(text string) {
	for i, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if strings.HasPrefix(paragraph, "    ") {
			fmt.Fprintln(p, ".PP")
			p.verbatim(strings.ReplaceAll(paragraph[4:], "\n    ", "\n"))
			continue
		}
		if i > 0 {
			fmt.Fprintln(p, ".PP")
		}
		for line := range strings.Lines(paragraph) {
			fmt.Fprintln(p, roff(strings.TrimSpace(line)))
		}
	}
}

// item writes a term, with its markup, and what is said of it in paragraphs.
func (p *page) item(term, text string) {
	fmt.Fprintf(p, ".TP\n%s\n", term)
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			fmt.Fprintln(p, ".IP")
		}
		fmt.Fprintln(p, roff(paragraph))
	}
}

// verbatim writes lines as they are.
func (p *page) verbatim(text string) {
	fmt.Fprint(p, ".RS 4\n.nf\n")
	for line := range strings.Lines(text) {
		fmt.Fprintln(p, roff(strings.TrimSuffix(line, "\n")))
	}
	fmt.Fprint(p, ".fi\n.RE\n")
}

// literal are characters that groff would turn into typographic ones, which
// nobody can copy into a shell.
var literal = strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`, `^`, `\(ha`, `~`, `\(ti`)

// roff is text as it is, wherever it stands.
func roff(text string) string {
	text = literal.Replace(text)
	if strings.HasPrefix(text, ".") {
		return `\&` + text
	}
	return text
}

func bold(text string) string { return `\fB` + roff(text) + `\fP` }

func italic(text string) string { return `\fI` + roff(text) + `\fP` }
