package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// enterScreen shows an empty screen of its own, and returns the way back to what
// was there (xterm's alternate screen; a terminal without one ignores it).
func enterScreen(f *os.File) (leave func()) {
	f.WriteString("\x1b[?1049h\x1b[?25l\x1b[2J")
	return func() { f.WriteString("\x1b[?25h\x1b[?1049l") }
}

// repaint replaces what the screen shows, as far as it is high and wide.
func repaint(f *os.File, text []byte) error {
	rows, columns := 24, 80
	if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Row > 1 && size.Col > 1 {
		rows, columns = int(size.Row), int(size.Col)
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	if len(lines) > rows {
		more := len(lines) - rows + 1
		lines = append(lines[:rows-1], fmt.Sprintf("... %d more lines", more))
	}
	var b bytes.Buffer
	b.WriteString("\x1b[H")
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(clip(line, columns) + "\x1b[K")
	}
	b.WriteString("\x1b[J")
	_, err := f.Write(b.Bytes())
	return err
}

// clip cuts a line to so many characters.
func clip(line string, columns int) string {
	if utf8.RuneCountInString(line) <= columns {
		return line
	}
	return string([]rune(line)[:columns-1]) + "…"
}

// visible shows text of clients: what a terminal would obey, or not show, is
// written as Go writes it in a string.
func visible(text string) string {
	var b strings.Builder
	for i, width := 0, 0; i < len(text); i += width {
		var r rune
		r, width = utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && width == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

// table writes rows in columns; the first row is the head.
func table(b *bytes.Buffer, rows [][]string) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	w.Flush()
}

// size writes a number of bytes; 1 MB is a million of them, as in the dashboard.
func size(n uint64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	v, unit := float64(n), 0
	for v >= 999.5 && unit < len(units)-1 {
		v, unit = v/1000, unit+1
	}
	digits := 0
	if unit > 0 && v < 99.95 {
		digits = 1
	}
	return fmt.Sprintf("%.*f %s", digits, v, units[unit])
}

// lasted writes a time given in seconds in its two largest units.
func lasted(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
}
