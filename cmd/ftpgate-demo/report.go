package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
)

// intro shows where everything happens.
func (s *stage) intro() {
	p := s.out
	p.heading("The lab: a router and four hosts in network namespaces of this machine")
	p.line("\n%s", strings.TrimRight(s.lab.Picture(), "\n"))
	p.line("")
	p.paragraph("The router drops in INPUT and FORWARD and masquerades its LAN, as its administrator has set it up. " +
		"No port is open for data, in either direction.")
	p.heading("The daemon's configuration")
	p.line("")
	for line := range strings.Lines(fmt.Sprintf(config, s.backend)) {
		p.line("  %s", p.paint(dim, strings.TrimRight(line, "\n")))
	}
}

// way announces a way before it is gone.
func (p *printer) way(w way, from, to *lab.Host) {
	source := w.source
	if source == "" {
		source = from.IPv4().String()
		if w.six() {
			source = from.IPv6().String()
		}
	}
	p.heading("%s", w.name)
	p.paragraph("%s %s dials %s; %s sees %s as the client", from.Name, source, w.dials, to.Name, w.seenAs)
}

// present shows a flow; only the first one's rules are shown in full, unless all are to be.
func (s *stage) present(f flow) {
	first := f.way == ways[0] && f.mode == f.way.modes()[0]
	s.out.flow(f, s.full || first)
	if first && !s.full {
		s.out.line("")
		s.out.paragraph("This is all of it: the first admits one connection, until its time is over. " +
			"Below, what all rules have in common is left out; --full shows everything.")
	}
}

// flow shows what became of one mode.
func (p *printer) flow(f flow, full bool) {
	p.line("")
	said, sent := unquoted(f.announced.Said), f.announced.Sent
	if f.mode.Active() {
		p.field(string(f.mode)+"  client says", blue, said)
	} else {
		p.field(string(f.mode)+"  client says", blue, string(f.mode))
		p.field("      server says", blue, said)
	}
	if sent == said {
		sent = "the same"
	}
	p.field("      ftpgate says", green, sent)
	p.field("      pinhole", "", strings.Fields(f.announced.Pinhole)...)
	label := "      rules"
	for _, rule := range f.rules {
		text := rule.text
		if !full {
			text = abridged(text)
		}
		p.field(label, dim, phrases(text)...)
		label = ""
	}
	p.field("      stored", "", transferred(f.stored)+", the server has the same")
	p.field("      fetched", "", transferred(f.fetched)+", the same")
}

// unquoted is a line as it was said: the log quotes what could be mistaken.
func unquoted(logged string) string {
	if said, err := strconv.Unquote(logged); err == nil {
		return said
	}
	return logged
}

func transferred(t dialogue.Transfer) string {
	return fmt.Sprintf("%d bytes in %s, SHA-256 %.12s", t.Bytes, t.Took.Round(time.Millisecond), t.SHA256)
}

// sessionEnded shows what the daemon has counted. It has the bytes from conntrack, where a segment that TCP sends twice
// counts twice, so they are shown and not compared.
func (p *printer) sessionEnded(e entry, transferred int) {
	p.line("")
	p.paragraph("The session's end in ftpgate's log: %d transfers, %d bytes by conntrack (%d were transferred).",
		e.Transfers, e.Bytes, transferred)
}

// allModes are the columns of the summary.
var allModes = []dialogue.Mode{dialogue.PORT, dialogue.EPRT, dialogue.PASV, dialogue.EPSV}

// summary is a table of ways and modes.
func (p *printer) summary(flows []flow, took time.Duration) {
	p.heading("Summary: what the kernel did with the addresses of the data connections")
	p.line("")
	header := fmt.Sprintf("%-30s", "")
	for _, m := range allModes {
		header += fmt.Sprintf("%-14s", m)
	}
	p.line("  %s", p.paint(bold, strings.TrimRight(header, " ")))
	good := 0
	for _, w := range ways {
		row := ""
		for _, m := range allModes {
			text, colour := verdict(flows, w, m)
			if colour == green {
				good++
			}
			row += p.paint(colour, fmt.Sprintf("%-14s", text))
		}
		p.line("  %-30s%s", w.name, strings.TrimRight(row, " "))
	}
	p.line("")
	p.paragraph("%d of %d flows are good: each stored and fetched %d bytes with equal checksums at both ends; %s in all",
		good, expected(), fileSize, took.Round(100*time.Millisecond))
}

// verdict is one field of the summary.
func verdict(flows []flow, w way, m dialogue.Mode) (text, colour string) {
	for _, f := range flows {
		switch {
		case f.way != w || f.mode != m:
		case f.err != nil:
			return "FAILED", red
		default:
			return "ok " + f.rules.translation(), green
		}
	}
	if w.six() && (m == dialogue.PORT || m == dialogue.PASV) {
		return "-", "" // these commands can write IPv4 only
	}
	return "not tried", red
}

// expected is the number of flows that there are.
func expected() int {
	n := 0
	for _, w := range ways {
		n += len(w.modes())
	}
	return n
}
