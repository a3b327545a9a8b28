package ftp

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// What parses survives being printed and parsed again, and is one clean line.
func FuzzCommand(f *testing.F) {
	for _, seed := range []string{
		"NOOP", "PORT 192,168,1,10,24,131", "STOR a\r\x00b", "RETR a\rb", "CWD  a ", "GET / HTTP/1.1", "Host: a",
		" PASS x", "site  pswd a b", "PASS\tx", "RETR a\xff\xffb", "\x16\x03\x01",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		command, err := ParseCommand(line)
		if logged := Redact(command.Verb, line); len(logged) > maxQuoted || strings.ContainsFunc(logged, isControl) {
			t.Errorf("logged as %q", logged)
		}
		var syntax *SyntaxError
		if err != nil {
			if !errors.Is(err, ErrEmptyLine) && (!errors.As(err, &syntax) || syntax.Code < 500 || syntax.Code > 501) {
				t.Errorf("got %v", err)
			}
			return
		}
		if !bytes.Equal(command.Line, line) || !bytes.HasSuffix(line, command.Arg) {
			t.Errorf("line %q, argument %q", command.Line, command.Arg)
		}
		wire := command.Bytes()
		if bytes.Count(wire, []byte{'\n'}) != 1 || bytes.Count(wire, []byte{'\r'}) != 1+bytes.Count(wire, []byte("\r\x00")) {
			t.Errorf("goes on as %q", wire)
		}
		again, err := ParseCommand(bytes.TrimSuffix(wire, crlf))
		if err != nil || again.Verb != command.Verb || !bytes.Equal(again.Arg, command.Arg) {
			t.Errorf("again %q %q, %v", again.Verb, again.Arg, err)
		}
	})
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// What goes on is one reply for strict and lenient readers alike, and is left as it is when read again.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{
		"220 hi\r\n", "220-Hi\r\n227 x (1,2,3,4,5,6)\r\n220 e\r\n", "200\n", "220-a\r220 b\r\n\r220 c\n220 d\n",
		"211-F\r\n EPSV\r\n LPSV\r\n211 End\r\n", "2x0 hm\r\n", "\r\n230-a\r\n230-b\n230 c\r\r\n", "257 \"a\r\x00\x00\"\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		reply, rest, err := ParseReply(text)
		if err != nil {
			if !bytes.Equal(rest, text) {
				t.Errorf("input consumed in spite of %v", err)
			}
			return
		}
		if !bytes.HasSuffix(text, rest) {
			t.Errorf("rest %q", rest)
		}
		checkReply(t, &reply)
		again, rest, err := ParseReply(reply.Bytes())
		if err != nil || len(rest) > 0 || again.Code != reply.Code || !bytes.Equal(again.Bytes(), reply.Bytes()) ||
			!bytes.Equal(again.Text(), reply.Text()) || again.Count() != reply.Count() {
			t.Errorf("%q again: %q, rest %q, %v", reply.Bytes(), again.Bytes(), rest, err)
		}
		everything := FilterFeatures(&reply, func(string) bool { return true })
		if filtered, _, err := ParseReply(everything); err != nil || filtered.Count() > 2 {
			t.Errorf("filtered %q, %v", everything, err)
		}
		if kept := FilterFeatures(&reply, func(string) bool { return false }); !bytes.Equal(kept, reply.Bytes()) {
			t.Errorf("kept %q", kept)
		}
	})
}

// checkReply reads the reply as the most lenient client does: any code and space ends it, CR and LF end a line.
func checkReply(t *testing.T, reply *Reply) {
	t.Helper()
	number := 0
	for line := range reply.Lines() {
		number++
		bare := bytes.ReplaceAll(line, []byte("\r\x00"), nil)
		if bytes.ContainsAny(bare, "\r\n\x00") {
			t.Errorf("line %d is %q", number, line)
		}
		inside := number > 1 && number < reply.Count()
		if inside && len(line) > 3 && hasCode(line) && (line[3] == ' ' || line[3] == '-') {
			t.Errorf("line %d looks like a reply: %q", number, line)
		}
	}
	if number != reply.Count() {
		t.Errorf("%d lines, not %d", number, reply.Count())
	}
}

func FuzzPort(f *testing.F) {
	for _, seed := range []string{"192,168,1,10,24,131", " 192,168,001,010,024,131 ", "192,,1,10,24,131", "1,2,3,4,5,6,7"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, arg []byte) {
		hostPort, err := ParsePort(arg)
		if err != nil {
			return
		}
		printed := AppendPort(nil, hostPort)
		if again, err := ParsePort(printed); err != nil || again != hostPort || again.Port() == 0 {
			t.Errorf("%q: %v, then %s: %v, %v", arg, hostPort, printed, again, err)
		}
	})
}

func FuzzExtendedPort(f *testing.F) {
	for _, seed := range []string{
		"|1|192.168.1.10|6275|", "!2!2001:DB8::1!5282!", "|2|fe80::1%eth0|1|", "|3|x|1|", "|2|::ffff:1.2.3.4|1|",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, arg []byte) {
		hostPort, err := ParseExtendedPort(arg)
		if err != nil {
			return
		}
		address := hostPort.Addr()
		if address.Zone() != "" || address != address.Unmap() || hostPort.Port() == 0 {
			t.Errorf("%q: %v", arg, hostPort)
		}
		printed := AppendExtendedPort(nil, hostPort)
		if again, err := ParseExtendedPort(printed); err != nil || again != hostPort {
			t.Errorf("%q: %v, then %s: %v, %v", arg, hostPort, printed, again, err)
		}
	})
}

func FuzzPassive(f *testing.F) {
	for _, seed := range []string{
		"Entering Passive Mode (198,51,100,7,195,149).", "=1,2,3,4,5,6", "(1,2,3,4,5,6) (1,2,3,4,7,8)", "(2,233,252)", "1,2,3,4,5,6,",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		hostPort, err := FindPassive(text)
		if err != nil {
			return
		}
		if !hostPort.IsValid() || hostPort.Port() == 0 {
			t.Errorf("%q: %v", text, hostPort)
		}
		reply, _, err := ParseReply(AppendPassive(nil, hostPort))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := FindPassive(reply.Text()); err != nil || again != hostPort {
			t.Errorf("%q: %v, then %v, %v", text, hostPort, again, err)
		}
	})
}

func FuzzExtendedPassive(f *testing.F) {
	for _, seed := range []string{"x (|||6446|)", "!!!6446!", "(|1|10.0.0.9|6446|)", "||||1||||2|", "(|||0|) ((((5("} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		port, err := FindExtendedPassive(text)
		if err != nil {
			return
		}
		reply, _, err := ParseReply(AppendExtendedPassive(nil, port))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := FindExtendedPassive(reply.Text()); err != nil || again != port || port == 0 {
			t.Errorf("%q: %v, then %v, %v", text, port, again, err)
		}
		if _, err := FindPassive(reply.Text()); err == nil {
			t.Error("a 229 reads as a 227")
		}
	})
}

// What is read, and what is answered to Telnet options, does not depend on how the stream was cut.
func FuzzConn(f *testing.F) {
	for _, seed := range []string{
		"USER a\r\nPASS b\r\n", "\xff\xf4\xff\xf2ABOR\r\n", "\xff\xfd\x01NOOP\n\xff\xfb\x03", "NO\xff\xfax\xff\xff\xff\xf0OP\r\n",
		"CWD aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nNOOP\r\n", "A\rB\nA\x00B\n\r\n\nA\r\n", "\x16\x03\x01",
		"A \xff\xff\xff\r\n",
		"220-Hi\r\n227 x\r\n220 e\r\n226 a\n", "\xf2NOOP\r\n",
	} {
		f.Add([]byte(seed), []byte{1, 2, 3})
	}
	f.Fuzz(func(t *testing.T, input, lengths []byte) {
		limits := Limits{Line: 40, ReplyLine: 40, Reply: 200, ReplyLines: 5}
		whole, answers := readCommands([][]byte{bytes.Clone(input)}, limits)
		parts, partAnswers := readCommands(cutBy(input, lengths), limits)
		if !slices.Equal(whole, parts) {
			t.Errorf("at once %q, in pieces %q", whole, parts)
		}
		if answers != partAnswers {
			t.Errorf("at once answered %q, in pieces %q", answers, partAnswers)
		}
		whole, parts = readReplies([][]byte{bytes.Clone(input)}, limits), readReplies(cutBy(input, lengths), limits)
		if !slices.Equal(whole, parts) {
			t.Errorf("replies at once %q, in pieces %q", whole, parts)
		}
	})
}

// cutBy makes pieces of the given lengths, again and again.
func cutBy(input, lengths []byte) [][]byte {
	var pieces [][]byte
	for i := 0; len(input) > 0; i++ {
		n := 1
		if len(lengths) > 0 {
			n = max(1, int(lengths[i%len(lengths)]))
		}
		n = min(n, len(input))
		pieces = append(pieces, bytes.Clone(input[:n]))
		input = input[n:]
	}
	return pieces
}

// readReplies returns what a server's bytes are read as, one entry per reply and the error at the end.
func readReplies(pieces [][]byte, limits Limits) (read []string) {
	conn := NewConn(&wire{pieces: pieces}, limits)
	var reply Reply
	for {
		if err := conn.ReadReply(&reply); err != nil {
			return append(read, err.Error())
		}
		read = append(read, fmt.Sprintf("%d %q", reply.Code, reply.Bytes()))
	}
}

// Every address and port has one printed form in each notation.
func FuzzPrintedAddress(f *testing.F) {
	f.Add([]byte{192, 168, 1, 10}, uint16(6275))
	f.Add(netip.MustParseAddr("2001:db8::1").AsSlice(), uint16(1))
	f.Fuzz(func(t *testing.T, octets []byte, port uint16) {
		address, ok := netip.AddrFromSlice(octets)
		if !ok || port == 0 {
			return
		}
		hostPort := netip.AddrPortFrom(address.Unmap(), port)
		if got, err := ParseExtendedPort(AppendExtendedPort(nil, hostPort)); err != nil || got != hostPort {
			t.Errorf("EPRT: %v becomes %v, %v", hostPort, got, err)
		}
		got, err := ParsePort(AppendPort(nil, hostPort))
		if err != nil || got.Port() != port || address.Unmap().Is4() && got != hostPort {
			t.Errorf("PORT: %v becomes %v, %v", hostPort, got, err)
		}
	})
}
