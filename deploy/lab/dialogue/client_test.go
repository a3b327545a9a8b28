package dialogue

import (
	"net/netip"
	"testing"
)

func TestParsePASV(t *testing.T) {
	for text, want := range map[string]string{
		"Entering Passive Mode (192,168,50,20,195,80).": "192.168.50.20:50000",
		"Entering Passive Mode 192,168,50,20,0,21":      "192.168.50.20:21",
		"=192,168,50,20,255,255":                        "192.168.50.20:65535",
	} {
		if got, err := ParsePASV(text); err != nil || got != netip.MustParseAddrPort(want) {
			t.Errorf("%q: %v, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "Entering Passive Mode", "(1,2,3,4,5)", "(256,1,1,1,1,1)", "(1,1,1,1,1,256)"} {
		if got, err := ParsePASV(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestParseEPSV(t *testing.T) {
	server := netip.MustParseAddr("2001:db8:113::20")
	for _, text := range []string{"Entering Extended Passive Mode (|||50000|)", "(!!!50000!)."} {
		if got, err := ParseEPSV(text, server); err != nil || got != netip.AddrPortFrom(server, 50000) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "(|||65536|)", "(||!50000|)", "|||50000|"} {
		if got, err := ParseEPSV(text, server); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestAnnouncement(t *testing.T) {
	for want, c := range map[string]struct {
		mode Mode
		at   string
	}{
		"PORT 192,168,50,10,195,80":      {PORT, "192.168.50.10:50000"},
		"EPRT |1|192.168.50.10|50000|":   {EPRT, "192.168.50.10:50000"},
		"EPRT |2|2001:db8:50::10|50000|": {EPRT, "[2001:db8:50::10]:50000"},
	} {
		if got := Announcement(c.mode, netip.MustParseAddrPort(c.at)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestReplyTake(t *testing.T) {
	for _, c := range []struct {
		lines []string
		code  int // 0: an error
	}{
		{[]string{"220 ready"}, 220},
		{[]string{"220"}, 220},
		{[]string{"211-Features:", " EPSV", "200 not the end", "211- neither", "211 End"}, 211},
		{[]string{"hello"}, 0},
		{[]string{"99 too small"}, 0},
		{[]string{""}, 0},
	} {
		var reply Reply
		for i, line := range c.lines {
			reply.Lines = append(reply.Lines, line)
			last, err := reply.take(line)
			if (err == nil) != (c.code != 0) {
				t.Errorf("%q: %v", c.lines, err)
			}
			if err == nil && last != (i == len(c.lines)-1) {
				t.Errorf("%q: line %d is the last: %v", c.lines, i, last)
			}
		}
		if reply.Code != c.code {
			t.Errorf("%q: code %d, want %d", c.lines, reply.Code, c.code)
		}
	}
}
