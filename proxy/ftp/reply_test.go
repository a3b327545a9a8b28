package ftp

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestParseReply(t *testing.T) {
	for _, test := range []struct {
		id, text string
		code     int
		bytes    string
		final    string
	}{
		{"one line", "220 hi\r\n", 220, "220 hi\r\n", "hi"},
		{"bare LF", "220 hi\n", 220, "220 hi\r\n", "hi"},
		{"R01", "220-Hi\r\n227 x (1,2,3,4,5,6)\r\n220 e\r\n", 220, "220-Hi\r\n 227 x (1,2,3,4,5,6)\r\n220 e\r\n", "e"},
		{"R02", "211-F\r\n EPSV\r\n LPSV\r\n211 End\r\n", 211, "211-F\r\n EPSV\r\n LPSV\r\n211 End\r\n", "End"},
		{"R03", "200-a\r\n500 b\r\n200 c\r\n", 200, "200-a\r\n 500 b\r\n200 c\r\n", "c"},
		{"R06", "200\r\n", 200, "200\r\n", ""},
		{"code and space", "200 \r\n", 200, "200 \r\n", ""},
		{"the code with hyphen again", "230-a\r\n230-b\r\n230 c\r\n", 230, "230-a\r\n 230-b\r\n230 c\r\n", "c"},
		{"the code alone ends nothing", "230-a\r\n230\r\n230 c\r\n", 230, "230-a\r\n230\r\n230 c\r\n", "c"},
		{"code without hyphen or space", "230-a\r\n2300 b\r\n230 c\r\n", 230, "230-a\r\n2300 b\r\n230 c\r\n", "c"},
		{"bare LF inside", "230-a\nb\n230 c\n", 230, "230-a\r\nb\r\n230 c\r\n", "c"},
		{"empty lines inside", "230-\r\n\r\n230 c\r\n", 230, "230-\r\n\r\n230 c\r\n", "c"},
		{"empty lines before", "\r\n\n220 hi\r\n", 220, "220 hi\r\n", "hi"},
		{"CR CR LF", "220-a\r\r\n220 b\r\r\n", 220, "220-a\r\n220 b\r\n", "b"},
		{"lone CR", "220-a\r220 b\r\n220 c\r\n", 220, "220-a 220 b\r\n220 c\r\n", "c"},
		{"CR makes no code", "220-a\r\n\r220 b\r\n220 c\r\n", 220, "220-a\r\n 220 b\r\n220 c\r\n", "c"},
		{"lone NUL", "257 \"a\x00b\"\r\n", 257, "257 \"a b\"\r\n", `"a b"`},
		{"CR NUL is a CR", "257 \"a\r\x00b\"\r\n", 257, "257 \"a\r\x00b\"\r\n", "\"a\r\x00b\""},
		{"CR and two NULs", "257 a\r\x00\x00\r\n", 257, "257 a\r\x00 \r\n", "a\r\x00 "},
		{"protected", "632 abc=\r\n", 632, "632 abc=\r\n", "abc="},
	} {
		t.Run(test.id, func(t *testing.T) {
			reply, rest, err := ParseReply([]byte(test.text + "999"))
			if err != nil {
				t.Fatal(err)
			}
			if reply.Code != test.code || string(reply.Bytes()) != test.bytes || string(reply.Text()) != test.final {
				t.Errorf("got %d %q %q", reply.Code, reply.Bytes(), reply.Text())
			}
			if string(rest) != "999" {
				t.Errorf("rest %q", rest)
			}
			if reply.Count() != strings.Count(test.bytes, "\n") {
				t.Errorf("%d lines", reply.Count())
			}
		})
	}
}

func TestParseReplyRefuses(t *testing.T) {
	for id, text := range map[string]string{
		"R07":             "2x0 hm\r\n",
		"R08":             "211-F\r\n" + strings.Repeat(" X\r\n", 700) + "211 End\r\n",
		"64 KiB":          "211-F\r\n" + strings.Repeat(" "+strings.Repeat("X", 4000)+"\r\n", 17) + "211 End\r\n",
		"code 000":        "000 a\r\n",
		"code 799":        "799 a\r\n",
		"two digits":      "22\r\n",
		"tab":             "220\ta\r\n",
		"text":            "hello\r\n",
		"space first":     " 220 a\r\n",
		"NUL in the code": "22\x000 a\r\n",
		"empty lines":     strings.Repeat("\r\n", 600),
	} {
		_, _, err := ParseReply([]byte(text))
		var malformed *ReplyError
		if !errors.As(err, &malformed) {
			t.Errorf("%s: got %v", id, err)
		}
	}
	for _, text := range []string{"", "220 a", "220-a\r\n", "220-a\r\n220"} {
		if _, _, err := ParseReply([]byte(text)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestParseReplyLeavesItsInputAlone(t *testing.T) {
	text := []byte("220 a\rb\nNEXT")
	if _, _, err := ParseReply(text); err != nil || string(text) != "220 a\rb\nNEXT" {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestReplyLines(t *testing.T) {
	reply, _, err := ParseReply([]byte("211-F\r\n EPSV\r\n\r\n211 End\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range reply.Lines() {
		lines = append(lines, string(line))
	}
	if want := []string{"211-F", " EPSV", "", "211 End"}; !slices.Equal(lines, want) {
		t.Errorf("got %q", lines)
	}
	for code, want := range map[string]bool{"150 a\r\n": true, "226 a\r\n": false} { // R04
		reply, _, _ := ParseReply([]byte(code))
		if reply.Preliminary() != want {
			t.Errorf("%q: preliminary %v", code, !want)
		}
	}
}

func TestFilterFeatures(t *testing.T) {
	drop := func(feature string) bool { return feature == "LPSV" || feature == "AUTH" }
	for _, test := range []struct{ id, text, want string }{
		{"R02", "211-F\r\n EPSV\r\n LPSV\r\n211 End\r\n", "211-F\r\n EPSV\r\n211 End\r\n"},
		{"any case, arguments", "211-F\n auth TLS;SSL\n MLST a*;b;\n  lpsv\n UTF8\n211 End\n",
			"211-F\r\n MLST a*;b;\r\n UTF8\r\n211 End\r\n"},
		{"nothing to drop", "211-F\r\n EPSV\r\n211 End\r\n", "211-F\r\n EPSV\r\n211 End\r\n"},
		{"all", "211-F\r\n LPSV\r\n211 End\r\n", "211-F\r\n211 End\r\n"},
		{"the code repeated", "211-F\r\n211-LPSV\r\n211-MDTM\r\n211 End\r\n", "211-F\r\n 211-MDTM\r\n211 End\r\n"},
		{"first and last line stay", "211-LPSV\r\n211 LPSV\r\n", "211-LPSV\r\n211 LPSV\r\n"},
		{"one line", "211 LPSV\r\n", "211 LPSV\r\n"},
		{"a name that only begins so", "211-F\r\n LPSVX\r\n211 End\r\n", "211-F\r\n LPSVX\r\n211 End\r\n"},
		{"empty lines", "211-F\r\n\r\n LPSV\r\n\r\n211 End\r\n", "211-F\r\n\r\n\r\n211 End\r\n"},
		{"not FEAT", "502 LPSV\r\n", "502 LPSV\r\n"},
	} {
		t.Run(test.id, func(t *testing.T) {
			reply, _, err := ParseReply([]byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := string(FilterFeatures(&reply, drop)); got != test.want {
				t.Errorf("got %q", got)
			}
		})
	}
}
