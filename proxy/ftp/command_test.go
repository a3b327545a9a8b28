package ftp

import (
	"errors"
	"strings"
	"testing"
)

func TestParseCommand(t *testing.T) {
	for _, test := range []struct{ id, line, verb, arg string }{
		{"F01", "NOOP", "NOOP", ""},
		{"F02 the case stays", "noop", "NOOP", ""},
		{"F06 CR NUL is a CR", "STOR a\r\x00b", "STOR", "a\r\x00b"},
		{"F08 doubled IAC stays", "RETR a\xff\xffb", "RETR", "a\xff\xffb"},
		{"F16 spaces stay", "CWD  a ", "CWD", " a "},
		{"L01", "pAsS s3cret", "PASS", "s3cret"},
		{"L02 escape is data", "USER a\x1b[31m", "USER", "a\x1b[31m"},
		{"a long verb", "XSHA256 a", "XSHA256", "a"},
		{"an unknown verb", "wxyz0123456789ab a", "WXYZ0123456789AB", "a"},
		{"a space and no argument", "LIST ", "LIST", ""},
		{"CR NUL at the end", "CWD a\r\x00", "CWD", "a\r\x00"},
		{"a file that sounds like HTTP", "STOR notes HTTP/2.txt", "STOR", "notes HTTP/2.txt"},
		{"a file in four words", "STOR a b HTTP/1.1", "STOR", "a b HTTP/1.1"},
	} {
		t.Run(test.id, func(t *testing.T) {
			command, err := ParseCommand([]byte(test.line))
			if err != nil {
				t.Fatal(err)
			}
			if command.Verb != test.verb || string(command.Arg) != test.arg || string(command.Line) != test.line {
				t.Errorf("got %q %q %q", command.Verb, command.Arg, command.Line)
			}
			if got := string(command.Bytes()); got != test.line+"\r\n" {
				t.Errorf("goes on as %q", got)
			}
		})
	}
}

func TestParseCommandRefuses(t *testing.T) {
	for _, test := range []struct {
		id, line string
		code     int
		fatal    bool
	}{
		{"F05 lone CR", "RETR a\rb", 500, false},
		{"F07 lone NUL", "RETR a\x00b", 500, false},
		{"NUL twice behind CR", "RETR a\r\x00\x00b", 500, false},
		{"CR at the end", "RETR a\r", 500, false},
		{"CR CR NUL", "RETR a\r\r\x00", 500, false},
		{"LF inside", "RETR a\nPORT 1,2,3,4,5,6", 500, false},
		{"F10 leading space", " PORT 192,168,1,10,24,131", 500, false},
		{"F11 tab", "PORT\t192,168,1,10,24,131", 500, false},
		{"F12 HTTP", "GET / HTTP/1.1", 501, true},
		{"HTTP in lower case", "post /a", 501, true},
		{"an HTTP method nobody knows", "FOO / http/1.1", 501, true},
		{"an FTP verb as HTTP method", "RETR / HTTP/1.0", 501, true},
		{"HTTP/2", "PRI * HTTP/2.0", 501, true},
		{"SMTP", "EHLO a.example", 501, true},
		{"a header", "Host: a.example", 501, true},
		{"a header with hyphens", "X-Forwarded-For:1", 501, true},
		{"a colon and no name", ": a", 500, false},
		{"a control byte", "\x01NOOP", 500, false},
		{"a digit first", "4NOOP", 500, false},
		{"17 letters", strings.Repeat("A", 17), 500, false},
		{"8 bit", "NO\xc3\x96P", 500, false},
		{"space only", " ", 500, false},
	} {
		t.Run(test.id, func(t *testing.T) {
			_, err := ParseCommand([]byte(test.line))
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("got %v", err)
			}
			if syntax.Code != test.code || syntax.Fatal != test.fatal {
				t.Errorf("got %+v", syntax)
			}
		})
	}
	if _, err := ParseCommand(nil); !errors.Is(err, ErrEmptyLine) {
		t.Errorf("F15: got %v", err)
	}
}

func TestParseCommandKeepsOutOfForeignMemory(t *testing.T) {
	memory := []byte("NOOPxx")
	command, err := ParseCommand(memory[:4])
	if err != nil {
		t.Fatal(err)
	}
	if got := string(command.Bytes()); got != "NOOP\r\n" || string(memory) != "NOOPxx" {
		t.Errorf("got %q, the caller's memory is %q", got, memory)
	}
}

func TestRedact(t *testing.T) {
	for _, test := range []struct{ verb, line, want string }{
		{"PASS", "pAsS s3cret", "PASS ****"},         // L01
		{"USER", "USER a\x1b[31m", `USER a\x1b[31m`}, // L02
		{"PASS", "PASS", "PASS ****"},
		{"ACCT", "acct x", "ACCT ****"},
		{"ADAT", "ADAT eA==", "ADAT ****"},
		{"SITE", "site pswd old new", "SITE PSWD ****"},
		{"SITE", "SITE  PSWD old new", "SITE PSWD ****"},
		{"SITE", "SITE CHMOD 644 a", "SITE CHMOD 644 a"},
		{"SITE", "SITE", "SITE"},
		{"PASV", "PASV", "PASV"},
		{"PAS", "PAS", "PAS"},
		{"PASSWD", "PASSWD x", "PASS ****"},
		{"", " \t pass x", "PASS ****"},
		{"", "PASS\tx", "PASS ****"},
		{"", "\x00\x1bPa\x80SS x", "PASS ****"},
		{"", "\xffPASS:x", "PASS ****"},
		{"", "\rSITE\tPSWD x", "SITE PSWD ****"},
		{"", "P ASS", "P ASS"},
		{"", `"quoted" \`, `\"quoted\" \\`},
		{"", "a\u202eb\xc3", `a\u202eb\xc3`},
		{"", "größe", "größe"},
	} {
		if got := Redact(test.verb, []byte(test.line)); got != test.want {
			t.Errorf("%q: got %q, want %q", test.line, got, test.want)
		}
	}
}

func TestQuoteIsBounded(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{strings.Repeat("a", 256), strings.Repeat("a", 256)},
		{strings.Repeat("a", 257), strings.Repeat("a", 253) + "…"},
		{strings.Repeat("\x01", 64), strings.Repeat(`\x01`, 64)},
		{strings.Repeat("\x01", 65), strings.Repeat(`\x01`, 63) + "…"},
	} {
		if got := Quote([]byte(test.text)); got != test.want {
			t.Errorf("%q:\n got %q\nwant %q", test.text, got, test.want)
		}
	}
}

func TestSecretsStayOutOfErrors(t *testing.T) {
	for _, line := range []string{
		"PASS s3c\rret", " PASS s3cret", "\tpass s3cret", "PASS\ts3cret", "PASS: s3cret", "PASS s3cret HTTP/1.1",
		"SITE PSWD s3cret\x00", "PASS " + strings.Repeat("s3cret", 1000),
	} {
		conn := NewConn(&wire{pieces: cut(line+"\r\n", 1000)}, Limits{})
		_, err := conn.ReadCommand()
		if err == nil || strings.Contains(err.Error(), "s3c") {
			t.Errorf("%.20q: %v", line, err)
		}
	}
}

// TestSecretFrom: it points at what Redact masks, also in a line that has only begun.
func TestSecretFrom(t *testing.T) {
	for line, want := range map[string]int{
		"PASS geheim": 4, "pass": 4, "PAS": -1, "  PASS x": 6, "PASSWD x": 4, "SITE PSWD a": 9, "SITE CHMOD a": -1, "P\xff\xf1ASS x": 6, "": -1, "CWD PASS": -1,
	} {
		from, secret := SecretFrom([]byte(line))
		if secret != (want >= 0) || secret && from != want || !secret && from != len(line) {
			t.Errorf("%q: %d, %t", line, from, secret)
		}
		if secret != strings.HasSuffix(Redact("", []byte(line)), mask) {
			t.Errorf("%q: Redact has it as %q", line, Redact("", []byte(line)))
		}
	}
}
