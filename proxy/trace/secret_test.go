package trace

import (
	"bytes"
	"strings"
	"testing"
)

// TestSecrets: secrets are overwritten in the packets, however they are cut, and what is not secret stays.
func TestSecrets(t *testing.T) {
	for name, c := range map[string]struct {
		segments []string
		want     string
	}{
		"PASS":                {[]string{"USER bob\r\n", "PASS geheim\r\n", "NOOP\r\n"}, "USER bob\r\nPASS ******\r\nNOOP\r\n"},
		"pass":                {[]string{"pAsS geheim\r\n"}, "pAsS ******\r\n"},
		"pipelined":           {[]string{"USER bob\r\nPASS geheim\r\nCWD x\r\n"}, "USER bob\r\nPASS ******\r\nCWD x\r\n"},
		"cut in the verb":     {[]string{"PA", "SS geheim\r\n"}, "PASS ******\r\n"},
		"cut in the password": {[]string{"PASS geh", "eim\r", "\nNOOP\r\n"}, "PASS ******\r\nNOOP\r\n"},
		"byte by byte":        {strings.Split("PASS geheim\r\nNOOP\r\n", ""), "PASS ******\r\nNOOP\r\n"},
		"mistyped":            {[]string{"PASSWD geheim\r\n"}, "PASS*********\r\n"},
		"spaces before":       {[]string{"  PASS geheim\r\n"}, "  PASS ******\r\n"},
		"SITE PSWD":           {[]string{"SITE PSWD a b\r\n"}, "SITE PSWD ***\r\n"},
		"ACCT":                {[]string{"ACCT geheim\r\n"}, "ACCT ******\r\n"},
		"Telnet in between":   {[]string{"PA\xff\xf1SS geheim\r\n"}, "PA\xff\xf1SS ******\r\n"},
		"a Telnet option":     {[]string{"P\xff\xfbAASS geheim\r\n"}, "P\xff\xfbAASS ******\r\n"},
		"no secret":           {[]string{"CWD PASS\r\nSITE CHMOD 1 f\r\n"}, "CWD PASS\r\nSITE CHMOD 1 f\r\n"},
		"longer than a line":  {[]string{"PASS " + strings.Repeat("g", maxLine), "geheim\r\nNOOP\r\n"}, "PASS " + strings.Repeat("*", maxLine) + "******\r\nNOOP\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, Options{})
			near := w.dial("lan0", lanClient, outside).answer()
			for _, s := range c.segments {
				near.segment(true, "", s)
			}
			var got []byte
			for _, s := range w.packets {
				got = append(got, s.Payload...)
				if s.masked {
					checkSum(t, s)
				}
			}
			if string(got) != c.want {
				t.Errorf("%q\nwant %q", got, c.want)
			}
			if strings.Contains(w.told()+strings.Join(w.comments, ""), "geheim") {
				t.Errorf("it is told:\n%s", w.told())
			}
		})
	}
}

// checkSum wants a good TCP checksum.
func checkSum(t *testing.T, s *Segment) {
	t.Helper()
	const tcp = 6
	segment := s.Data[s.checksum-16:]
	if got := fold(sum(sum(tcp+uint32(len(segment)), s.Data[12:20]), segment)); got != 0xffff {
		t.Errorf("the checksum is wrong: %04x", got)
	}
}

// TestUnknownIsSecret: what may be a part of a secret is overwritten as well.
func TestUnknownIsSecret(t *testing.T) {
	w := newWire(t, Options{})
	near := w.dial("lan0", lanClient, outside).answer()
	base := w.seqs[near.key(true)]
	send := func(off uint32, data string) {
		w.take(packet{on: "lan0", from: lanClient, to: outside, flags: "A", seq: base + off, data: data})
	}
	send(8, "heim\r\n")            // before its turn
	send(0, "PASS gehe")           // and now the rest
	send(0, "PASS geheim\r\n")     // again
	send(40, "geheim\r\nNOOP\r\n") // behind a hole
	near.replies("x")
	joined := link{w, "lan0", "192.168.50.11:40000", outside, 9}
	joined.segment(true, "", "geheim") // in the middle
	for _, s := range w.packets {
		if bytes.Contains(s.Payload, []byte("heim")) || bytes.Contains(s.Payload, []byte("geh")) {
			t.Errorf("%q", s.Payload)
		}
	}
}
