package ftp

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// readCommands returns what a client's bytes are read as, one entry per command or error.
func readCommands(pieces [][]byte, limits Limits) (read []string, answers string) {
	w := &wire{pieces: pieces}
	conn := NewConn(w, limits)
	for {
		command, err := conn.ReadCommand()
		var syntax *SyntaxError
		switch {
		case err == nil:
			read = append(read, fmt.Sprintf("%s %q", command.Verb, command.Bytes()))
		case errors.As(err, &syntax) && !syntax.Fatal:
			read = append(read, fmt.Sprint(syntax.Code))
		case errors.As(err, &syntax):
			if _, again := conn.ReadCommand(); again != err {
				read = append(read, "a fatal error was forgotten")
			}
			return append(read, fmt.Sprintf("%d close", syntax.Code)), w.sent.String()
		default:
			return append(read, err.Error()), w.sent.String()
		}
	}
}

func TestReadCommand(t *testing.T) {
	overlong := "CWD " + strings.Repeat("A", 5000) + "\r\n"
	abor := `ABOR "ABOR\r\n"`
	noop := `NOOP "NOOP\r\n"`
	for _, test := range []struct {
		id, bytes string
		want      []string
		answers   string
	}{
		{"F01", "NOOP\r\n", []string{noop, "EOF"}, ""},
		{"F02", "noop\n", []string{`NOOP "noop\r\n"`, "EOF"}, ""},
		{"F03", "PORT 192,168,1,10,24,131\r\n", []string{`PORT "PORT 192,168,1,10,24,131\r\n"`, "EOF"}, ""},
		{"F04", "USER a\r\nPASS b\r\n", []string{`USER "USER a\r\n"`, `PASS "PASS b\r\n"`, "EOF"}, ""},
		{"F05", "RETR a\rb\r\nNOOP\r\n", []string{"500", noop, "EOF"}, ""},
		{"F06", "STOR a\r\x00b\r\n", []string{`STOR "STOR a\r\x00b\r\n"`, "EOF"}, ""},
		{"F07", "RETR a\x00b\r\nNOOP\r\n", []string{"500", noop, "EOF"}, ""},
		{"F08", "RETR a\xff\xffb\r\n", []string{`RETR "RETR a\xff\xffb\r\n"`, "EOF"}, ""},
		{"F09", overlong + overlong + "NOOP\r\n" + overlong + "NOOP\r\n", []string{"500", "500", noop, "421 close"}, ""},
		{"F05 repeated", "A\rB\r\nA\rB\r\nA\rB\r\nNOOP\r\n", []string{"500", "500", "421 close"}, ""},
		{"F10", " PORT 192,168,1,10,24,131\r\n", []string{"500", "EOF"}, ""},
		{"F12", "GET / HTTP/1.1\r\nPORT 1,2,3,4,5,6\r\n", []string{"501 close"}, ""},
		{"F14", strings.Repeat("NOOP\r\n", 40), append(repeat(noop, 40), "EOF"), ""},
		{"F15", "\r\n\n\r\nNOOP\r\n\r\n", []string{noop, "EOF"}, ""},
		{"F16", "CWD  a \r\n", []string{`CWD "CWD  a \r\n"`, "EOF"}, ""},
		{"T01 T02 inline", "\xff\xf4\xff\xf2ABOR\r\n", []string{abor, "EOF"}, ""},
		{"T02 not inline", "\xff\xf4\xf2ABOR\r\n", []string{abor, "EOF"}, ""},
		{"T03", "\xff\xf4\xffABOR\r\n", []string{abor, "EOF"}, ""},
		{"F2 alone", "\xf2ABOR\n\xf2\nABOR\n", []string{abor, abor, "EOF"}, ""},
		{"F2 is data elsewhere", "CWD \xf2\n", []string{`CWD "CWD \xf2\r\n"`, "EOF"}, ""},
		{"T04", "\xff\xfd\x01NOOP\r\n", []string{noop, "EOF"}, "\xff\xfc\x01"},
		{"T05", "\xff\xfb\x03NOOP\r\n", []string{noop, "EOF"}, "\xff\xfe\x03"},
		{"T06", "\xff\xfe\x01\xff\xfc\x01NOOP\r\n", []string{noop, "EOF"}, ""},
		{"T07", "\xff\xf4NOOP\r\n", []string{noop, "EOF"}, ""},
		{"T08", strings.Repeat("\xff\xfb\x01", 2000), []string{"421 close"}, strings.Repeat("\xff\xfe\x01", 16)},
		{"T08 across lines", strings.Repeat("\xff\xfb\x01NOOP\n", 20), append(repeat(noop, 16), "421 close"),
			strings.Repeat("\xff\xfe\x01", 16)},
		{"T09", "\xff\xfa" + strings.Repeat("x", 300), []string{"421 close"}, ""},
		{"a subnegotiation", "NO\xff\xfax\n\xff\xff\xff\xf0OP\r\n", []string{noop, "EOF"}, ""},
		{"NOP flood", strings.Repeat("\xff\xf1", 2000), []string{"421 close"}, ""},
		{"NOPs with commands", strings.Repeat(strings.Repeat("\xff\xf1", 900)+"NOOP\n", 3), append(repeat(noop, 3), "EOF"), ""},
		{"IAC before the line end", "NOOP\xff\r\xff\n", []string{noop, "EOF"}, ""},
		{"S12", "\x16\x03\x01\x02\x00\x01", []string{"0 close"}, ""},
		{"S12 later", "NOOP\r\n\x16\x03\x01\x02\x00\x01", []string{noop, "0 close"}, ""},
		{"the end inside a line", "NOOP\r\nNO", []string{noop, "unexpected EOF"}, ""},
		{"the end inside Telnet", "NOOP\r\n\xff", []string{noop, "unexpected EOF"}, ""},
		{"the end of an overlong line", overlong[:5000], []string{"unexpected EOF"}, ""},
	} {
		for _, size := range segmentations {
			t.Run(fmt.Sprintf("%s/%d", test.id, size), func(t *testing.T) {
				read, answers := readCommands(cut(test.bytes, size), Limits{})
				if strings.Join(read, "\n") != strings.Join(test.want, "\n") {
					t.Errorf("got %q", read)
				}
				if answers != test.answers {
					t.Errorf("answered %q", answers)
				}
			})
		}
	}
}

func repeat(s string, count int) []string {
	list := make([]string, count)
	for i := range list {
		list[i] = s
	}
	return list
}

// A line of exactly the limit passes, with either line end, wherever in the block it begins.
func TestReadCommandLimit(t *testing.T) {
	for _, limit := range []int{1, 100, DefaultLine, MaxLine} {
		for _, end := range []string{"\n", "\r\n"} {
			line := strings.Repeat("A", limit)
			if limit > 10 {
				line = "CWD " + strings.Repeat("\xff\xff", (limit-4)/2)
			}
			for _, size := range segmentations {
				pad := strings.Repeat("\xff\xf1", 500)
				input := "A\r\n" + pad + line + end + pad + line + end + line + "BB" + end
				read, _ := readCommands(cut(input, size), Limits{Line: limit})
				if len(read) != 5 || read[3] != "500" || read[4] != "EOF" {
					t.Errorf("limit %d, end %q, size %d: %.80q", limit, end, size, read)
				}
			}
		}
	}
}

func TestReadReply(t *testing.T) {
	for _, test := range []struct {
		id, bytes string
		want      []string
		answers   string
	}{
		{"T05", "\xff\xfb\x03220 hi\r\n", []string{"220 hi\r\n", "EOF"}, "\xff\xfe\x03"},
		{"R01", "220-Hi\r\n227 x (1,2,3,4,5,6)\r\n220 e\r\n", []string{"220-Hi\r\n 227 x (1,2,3,4,5,6)\r\n220 e\r\n", "EOF"}, ""},
		{"R04", "150 a\r\n226 b\r\n", []string{"150 a\r\n", "226 b\r\n", "EOF"}, ""},
		{"R05", "426 a\n226 b\n", []string{"426 a\r\n", "226 b\r\n", "EOF"}, ""},
		{"R06", "200\r\n", []string{"200\r\n", "EOF"}, ""},
		{"R07", "220 a\r\n2x0 hm\r\n", []string{"220 a\r\n", "malformed reply: no reply code: 2x0 hm"}, ""},
		{"R08", "211-\r\n" + strings.Repeat(" X\r\n", 700), []string{"malformed reply: more than 512 lines"}, ""},
		{"64 KiB", "211-\r\n" + strings.Repeat(" "+strings.Repeat("X", 4000)+"\r\n", 17),
			[]string{"malformed reply: more than 65536 bytes"}, ""},
		{"an overlong line", "211 " + strings.Repeat("X", 9000) + "\r\n",
			[]string{"malformed reply: a line of more than 6144 bytes"}, ""},
		{"FF stays doubled", "257 \"\xff\xff\"\r\n", []string{"257 \"\xff\xff\"\r\n", "EOF"}, ""},
		{"F2 is text", "220-\r\n\xf2\r\n220 a\r\n", []string{"220-\r\n\xf2\r\n220 a\r\n", "EOF"}, ""},
		{"several multi-line", strings.Repeat("230-a\r\nb\r\n230 c\r\n", 2),
			[]string{"230-a\r\nb\r\n230 c\r\n", "230-a\r\nb\r\n230 c\r\n", "EOF"}, ""},
		{"the end inside a reply", "220-a\r\n", []string{"unexpected EOF"}, ""},
		{"the end inside a line", "220 a", []string{"unexpected EOF"}, ""},
		{"T08", strings.Repeat("\xff\xfd\x01", 2000), []string{"malformed reply: too many Telnet commands"},
			strings.Repeat("\xff\xfc\x01", 16)},
		{"TLS", "\x16\x03\x01", []string{"malformed reply: a TLS handshake on a clear-text connection"}, ""},
	} {
		for _, size := range segmentations {
			t.Run(fmt.Sprintf("%s/%d", test.id, size), func(t *testing.T) {
				w := &wire{pieces: cut(test.bytes, size)}
				conn := NewConn(w, Limits{})
				var reply Reply
				for _, want := range test.want {
					got := ""
					if err := conn.ReadReply(&reply); err != nil {
						got = err.Error()
					} else {
						got = string(reply.Bytes())
					}
					if got != want {
						t.Errorf("got %q, want %q", got, want)
					}
				}
				if w.sent.String() != test.answers {
					t.Errorf("answered %q", w.sent.String())
				}
			})
		}
	}
}

// A reply longer than a block is still one value.
func TestReadLongReply(t *testing.T) {
	text := "211-a\r\n" + strings.Repeat(" "+strings.Repeat("x", 200)+"\r\n", 250) + "211 b\r\n"
	conn := NewConn(&wire{pieces: cut(text+"200 ok\r\n", 1000)}, Limits{})
	var reply Reply
	if err := conn.ReadReply(&reply); err != nil || string(reply.Bytes()) != text || reply.Count() != 252 {
		t.Fatalf("%v, %d bytes", err, len(reply.Bytes()))
	}
	if err := conn.ReadReply(&reply); err != nil || string(reply.Bytes()) != "200 ok\r\n" {
		t.Fatalf("%v, %q", err, reply.Bytes())
	}
	if err := conn.ReadReply(&reply); !errors.Is(err, io.EOF) || len(reply.Bytes()) != 0 {
		t.Fatalf("%v, %q", err, reply.Bytes())
	}
}

// At an upgrade to TLS nothing read beforehand may be left, be it half a Telnet command.
func TestBuffered(t *testing.T) {
	for rest, want := range map[string]int{"": 0, "USER x\r\n": 8, "\r\n": 2, "\xff": 1} { // S02, S03
		conn := NewConn(&wire{pieces: cut("AUTH TLS\r\n"+rest, 1<<20)}, Limits{})
		if _, err := conn.ReadCommand(); err != nil {
			t.Fatal(err)
		}
		if got := conn.Buffered(); got != want {
			t.Errorf("%q: %d bytes", rest, got)
		}
		conn.Release()
		if held := conn.lines.block != nil; held != (want > 0) {
			t.Errorf("%q: memory held: %v", rest, held)
		}
	}
	for partial, want := range map[string]int{"USER": 4, "NO\xff": 3, "\xff": 1} {
		conn := NewConn(&wire{pieces: cut(partial, 1)}, Limits{})
		if _, err := conn.ReadCommand(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
		if got := conn.Buffered(); (got > 0) != (want > 0) {
			t.Errorf("%q: %d bytes", partial, got)
		}
	}
}

// TestAnother: only a whole reply of one line will not keep the next read waiting.
func TestAnother(t *testing.T) {
	for rest, another := range map[string]bool{
		"":                          false,
		"226 Complete.\r\n":         true,
		"226 Complete.\n":           true,
		"226 Complete.\r":           false,
		"226-Complete.\r\n":         false,
		"226 Compl\xff\xf1ete.\r\n": false,
		"22":                        false,
		"\r\n226 Complete.\r\n":     false,
		"226\r\n":                   false,
	} {
		near, far := tcpPair(t)
		conn := NewConn(far, Limits{})
		if _, err := near.Write([]byte("150 Here it comes.\r\n" + rest)); err != nil {
			t.Fatal(err)
		}
		var reply Reply
		if err := conn.ReadReply(&reply); err != nil {
			t.Fatal(err)
		}
		if conn.Another() != another {
			t.Errorf("%q: %v", rest, !another)
		}
	}
}
