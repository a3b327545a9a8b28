package trace

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// attempt is what was seen of a data connection.
type attempt struct {
	active  bool           // the server was to dial
	awaited netip.AddrPort // where

	syns           int // 0: none of the fields below is set
	dialled        tuple
	waited         time.Duration // since the first SYN
	stranger       bool          // who dialled has an address that neither side has
	established    bool
	refused        string // how, by whom
	arrived        bool   // dialled is on the side of whoever listens already
	onward         tuple  // as it left this host; zero: it did not
	onwardAnswered bool
	watchedBoth    bool // both sides of this host are watched
}

// explain says in one sentence why the connection did not come about, "" if it did.
func (a attempt) explain() string {
	dialler, listener := "client", "server"
	if a.active {
		dialler, listener = listener, dialler
	}
	switch {
	case a.established:
		return ""
	case a.syns == 0:
		return fmt.Sprintf("no SYN came for %s: the %s never connected, or what it sent was lost before it came here", a.awaited, dialler)
	case a.refused != "":
		return fmt.Sprintf("the SYN %s was %s%s", a.dialled, a.refused, a.strange())
	}
	silence := fmt.Sprintf("the SYN %s was not answered for %s, sent %s%s", a.dialled, span(a.waited), times(a.syns), a.strange())
	switch {
	case a.onwardAnswered:
		return fmt.Sprintf("%s: it went on as %s and was answered there, but the answer did not come back", silence, a.onward)
	case a.onward != tuple{}:
		return fmt.Sprintf("%s: it went on as %s, so the %s or a filter before it drops it", silence, a.onward, listener)
	case a.arrived:
		return fmt.Sprintf("%s: the %s or a filter before it drops it", silence, listener)
	case a.watchedBoth:
		return silence + ": it came in and did not go on, so this host drops it or leads it nowhere"
	}
	return silence + ": nobody forwards it, or a filter drops it"
}

func (a attempt) strange() string {
	if !a.stranger {
		return ""
	}
	return fmt.Sprintf(" (%s is neither client nor server)", a.dialled.client.Addr())
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return strconv.Itoa(n) + " times"
}

func ordinal(n int) string {
	switch {
	case n%10 == 2 && n != 12:
		return strconv.Itoa(n) + "nd"
	case n%10 == 3 && n != 13:
		return strconv.Itoa(n) + "rd"
	}
	return strconv.Itoa(n) + "th"
}

// span is a duration for people: two to four digits.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + span(-d)
	case d < 10*time.Millisecond:
		return trimmed(float64(d)/1e6, 2) + " ms"
	case d < time.Second:
		return trimmed(float64(d)/1e6, 0) + " ms"
	case d < time.Minute:
		return trimmed(d.Seconds(), 1) + " s"
	}
	return d.Round(time.Second).String()
}

func trimmed(f float64, digits int) string {
	s := strconv.FormatFloat(f, 'f', digits, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}
