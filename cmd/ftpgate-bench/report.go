package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is a run, as bench.json has it.
type report struct {
	Machine     machine       `json:"machine"`
	Rounds      int           `json:"rounds"`
	Seconds     float64       `json:"seconds_per_measurement"`
	Took        float64       `json:"took_seconds"`
	Contestants []participant `json:"contestants"`
	Rows        []row         `json:"figures"`
	Notes       []string      `json:"notes"`
}

// participant explains a column.
type participant struct {
	Name  string `json:"name"`
	About string `json:"about"`
}

// row is a figure with its values.
type row struct {
	Key     string            `json:"key"`
	Title   string            `json:"title"`
	Unit    string            `json:"unit"`
	Values  map[string]spread `json:"values"` // by contestant
	Targets []verdict         `json:"targets,omitempty"`

	decimals int
}

// verdict is a target and what became of it.
type verdict struct {
	Target  string  `json:"target"`
	Limit   float64 `json:"limit"`
	Reached bool    `json:"reached"`
}

// newReport arranges what was measured. Figures that nobody has are left out.
func newReport(o options, m machine, s *scores) report {
	r := report{Machine: m, Rounds: o.rounds, Seconds: o.duration.Seconds(), Notes: s.notes}
	for _, e := range entries() {
		if slices.Contains(o.only, e.name) {
			r.Contestants = append(r.Contestants, participant{e.name, e.about})
		}
	}
	for _, f := range figures() {
		line := row{Key: f.key, Title: f.title, Unit: f.unit, Values: make(map[string]spread), decimals: f.decimals}
		for _, p := range r.Contestants {
			if rounds := s.values[p.Name][f.key]; len(rounds) > 0 {
				line.Values[p.Name] = spreadOf(rounds)
			}
		}
		for _, m := range f.musts {
			if v, known := s.judge(f, m); known {
				line.Targets = append(line.Targets, v)
			}
		}
		if len(line.Values) > 0 {
			r.Rows = append(r.Rows, line)
		}
	}
	return r
}

// judge compares medians. It does not know when one of the two was not measured.
func (s *scores) judge(f figure, m must) (v verdict, known bool) {
	own := s.values[m.who][f.key]
	if len(own) == 0 {
		return v, false
	}
	v.Limit, v.Target = m.plus, fmt.Sprint(m.plus)
	if m.of != "" {
		other := s.values[m.of][cmp.Or(m.key, f.key)]
		if len(other) == 0 {
			return v, false
		}
		v.Limit += m.times * spreadOf(other).Median
		v.Target = m.relation()
	}
	relation := "≤"
	if m.atLeast {
		relation = "≥"
	}
	v.Target = fmt.Sprintf("%s %s %s", short(m.who), relation, v.Target)
	value := spreadOf(own).Median
	v.Reached = m.atLeast && value >= v.Limit || !m.atLeast && value <= v.Limit
	return v, true
}

// relation writes what a limit hangs on.
func (m must) relation() string {
	text := short(m.of)
	if m.key != "" {
		text = "its own without pinholes"
	}
	if m.times != 1 {
		text = fmt.Sprintf("%g × %s", m.times, text)
	}
	if m.plus != 0 {
		text += fmt.Sprintf(" + %g", m.plus)
	}
	return text
}

// short names ftpgate's backends in targets.
func short(contestant string) string { return strings.TrimPrefix(contestant, "ftpgate-") }

// publish prints the table and writes the files.
func (r report) publish(o options, out io.Writer) error {
	if err := r.writeText(out); err != nil {
		return fmt.Errorf("printing the table: %w", err)
	}
	if o.markdown != "" {
		var b strings.Builder
		r.writeMarkdown(&b)
		if err := os.WriteFile(o.markdown, []byte(b.String()), 0o644); err != nil {
			return fmt.Errorf("writing the table: %w", err)
		}
		fmt.Fprintf(out, "\nthe table in Markdown: %s\n", o.markdown)
	}
	if o.json == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the figures: %w", err)
	}
	fmt.Fprintf(out, "all rounds: %s\n", o.json)
	return os.WriteFile(o.json, append(text, '\n'), 0o644)
}

// heading is the first line of the table.
func (r report) heading() []string {
	cells := []string{"figure", "unit"}
	for _, p := range r.Contestants {
		cells = append(cells, p.Name)
	}
	return append(cells, "nft : kernel", "ipt : kernel", "must")
}

// cells is a row of the table.
func (r report) cells(line row) []string {
	cells := []string{line.Title, line.Unit}
	for _, p := range r.Contestants {
		if value, measured := line.Values[p.Name]; measured {
			cells = append(cells, fmt.Sprintf("%.*f", line.decimals, value.Median))
		} else {
			cells = append(cells, "-")
		}
	}
	return append(cells, line.ratio(ftpgateNFT), line.ratio(ftpgateIPT), line.verdicts())
}

// ratio compares a contestant with the kernel's helper.
func (line row) ratio(name string) string {
	own, measured := line.Values[name]
	helper, known := line.Values[kernel]
	if !measured || !known || helper.Median <= 0 || strings.HasPrefix(line.Key, "added.") {
		return "-"
	}
	return fmt.Sprintf("%.2f", own.Median/helper.Median)
}

func (line row) verdicts() string {
	var all []string
	for _, v := range line.Targets {
		outcome := "reached"
		if !v.Reached {
			outcome = "MISSED"
		}
		all = append(all, v.Target+" "+outcome)
	}
	return strings.Join(all, "; ")
}

// writeText prints the table for a terminal.
func (r report) writeText(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(r.heading(), "\t"))
	for _, line := range r.Rows {
		fmt.Fprintln(w, strings.Join(r.cells(line), "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\n%s\n", r.remarks("  "))
	return err
}

// writeMarkdown writes the table for a README.
func (r report) writeMarkdown(b *strings.Builder) {
	heading := r.heading()
	fmt.Fprintf(b, "| %s |\n|---|---%s|---|\n", strings.Join(heading, " | "), strings.Repeat("|--:", len(heading)-3))
	for _, line := range r.Rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(r.cells(line), " | "))
	}
	fmt.Fprintf(b, "\n%s\n", r.remarks("- "))
}

// remarks is what stands below the table.
func (r report) remarks(bullet string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Medians of %d interleaved rounds of %g s for each measurement, but for what was measured once per run; "+
		"%.0f s in all.", r.Rounds, r.Seconds, r.Took)
	fmt.Fprintf(&b, "\n%s.\n\n", r.Machine)
	for _, p := range r.Contestants {
		fmt.Fprintf(&b, "%s%s: %s\n", bullet, p.Name, p.About)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "%s%s\n", bullet, note)
	}
	return strings.TrimRight(b.String(), "\n")
}
