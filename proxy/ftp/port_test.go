package ftp

import (
	"errors"
	"net/netip"
	"testing"
)

func TestParsePort(t *testing.T) {
	for _, test := range []struct{ id, arg, want string }{
		{"P01", "192,168,1,10,24,131", "192.168.1.10:6275"},
		{"P03 the port is judged elsewhere", "192,168,1,10,0,25", "192.168.1.10:25"},
		{"P08 above 255", "192,168,1,10,256,1", ""},
		{"P09 five fields", "192,168,1,10,24", ""},
		{"P10 seven fields", "192,168,1,10,24,131,9", ""},
		{"P11 blank", "192,,1,10,24,131", ""},
		{"P12 sign", "192,168,1,10,24,-125", ""},
		{"plus", "192,168,1,10,24,+125", ""},
		{"P13 zeros", "192,168,001,010,024,131", "192.168.1.10:6275"},
		{"P14 two spaces", " 192,168,1,10,24,131", "192.168.1.10:6275"},
		{"trailing space", "192,168,1,10,24,131 ", "192.168.1.10:6275"},
		{"trailing text", "192,168,1,10,24,131 x", ""},
		{"trailing comma", "192,168,1,10,24,131,", ""},
		{"space inside", "192,168,1,10, 24,131", ""},
		{"four digits", "192,168,1,0010,24,131", ""},
		{"underscore", "1_2,168,1,10,24,131", ""},
		{"hexadecimal", "0x1,168,1,10,24,131", ""},
		{"port 0", "192,168,1,10,0,0", ""},
		{"the highest", "255,255,255,255,255,255", "255.255.255.255:65535"},
		{"nothing", "", ""},
	} {
		t.Run(test.id, func(t *testing.T) {
			got, err := ParsePort([]byte(test.arg))
			if test.want == "" {
				var syntax *SyntaxError
				if !errors.As(err, &syntax) || syntax.Code != 501 || syntax.Fatal {
					t.Errorf("got %v, %v", got, err)
				}
				return
			}
			if err != nil || got.String() != test.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestAppendPort(t *testing.T) {
	for hostPort, want := range map[string]string{
		"203.0.113.1:50001":          "203,0,113,1,195,81",
		"[::ffff:203.0.113.1]:50001": "203,0,113,1,195,81",
		"[2001:db8::1]:50001":        "0,0,0,0,195,81",
	} {
		if got := string(AppendPort(nil, netip.MustParseAddrPort(hostPort))); got != want {
			t.Errorf("%s: got %s", hostPort, got)
		}
	}
	want := "227 Entering Passive Mode (203,0,113,1,195,81).\r\n"
	if got := string(AppendPassive(nil, netip.MustParseAddrPort("203.0.113.1:50001"))); got != want {
		t.Errorf("got %q", got)
	}
}

func TestFindPassive(t *testing.T) {
	for _, test := range []struct{ id, reply, want string }{
		{"V01", "227 Entering Passive Mode (198,51,100,7,195,149)\r\n", "198.51.100.7:50069"},
		{"V03", "227 x (10,0,0,9,195,149)\r\n", "10.0.0.9:50069"},
		{"V05", "227 =198,51,100,7,195,149\r\n", "198.51.100.7:50069"},
		{"V06", "227 Mode 2: 198,51,100,7,195,149\r\n", "198.51.100.7:50069"},
		{"V07", "227-listen\r\n227 (127,0,0,1,154,21)\r\n", "127.0.0.1:39445"},
		{"V08", "227 Entering Passive Mode (2,233,252).\r\n", ""},
		{"V09", "227 x (0:0:0:0:0:0:0:1,219,195).\r\n", ""},
		{"V10", "227 Entering Passive Mode (\r\n", ""},
		{"V11", "227 (1,2,3,4,5,6) (1,2,3,4,7,8)\r\n", ""},
		{"the same twice", "227 (1,2,3,4,5,6) (1,2,3,4,5,6)\r\n", "1.2.3.4:1286"},
		{"two addresses", "227 (1,2,3,4,5,6) (1,2,3,5,5,6)\r\n", ""},
		{"only in an earlier line", "227-(127,0,0,1,154,21)\r\n227 ok\r\n", ""},
		{"an earlier line says otherwise", "227-(9,9,9,9,9,9)\r\n227 (127,0,0,1,154,21)\r\n", "127.0.0.1:39445"},
		{"behind words", "227 Data transfer will passively listen to 1,2,3,4,5,6\r\n", "1.2.3.4:1286"},
		{"port 0", "227 (1,2,3,4,0,0)\r\n", ""},
		{"seven", "227 (1,2,3,4,5,6,7)\r\n", ""},
		{"comma behind", "227 1,2,3,4,5,6, ok\r\n", ""},
		{"above 255", "227 (1,2,3,4,256,6)\r\n", ""},
		{"no text", "227\r\n", ""},
		{"words in UTF-8", "227 Entr\xc3\xa9e (1,2,3,4,5,6) \xe2\x80\xa6\r\n", "1.2.3.4:1286"},
	} {
		t.Run(test.id, func(t *testing.T) {
			reply, rest, err := ParseReply([]byte(test.reply))
			if err != nil || len(rest) > 0 {
				t.Fatal(rest, err)
			}
			got, err := FindPassive(reply.Text())
			if (err != nil) != (test.want == "") || err == nil && got.String() != test.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}
