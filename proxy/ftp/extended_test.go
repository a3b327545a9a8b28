package ftp

import (
	"errors"
	"net/netip"
	"testing"
)

func TestParseExtendedPort(t *testing.T) {
	for _, test := range []struct{ id, arg, want string }{
		{"P20", "|1|192.168.1.10|6275|", "192.168.1.10:6275"},
		{"P21", "!1!192.168.1.10!6275!", "192.168.1.10:6275"},
		{"P22", "|2|2001:0DB8:1:0::10|5282|", "[2001:db8:1::10]:5282"},
		{"P23 zone", "|2|fe80::1%eth0|5282|", ""},
		{"P24 mapped", "|2|::ffff:192.168.1.10|6275|", ""},
		{"P26 65536", "|1|192.168.1.10|65536|", ""},
		{"P27 unterminated", "|1|192.168.1.10|6275", ""},
		{"port 0", "|1|192.168.1.10|0|", ""},
		{"port in six digits", "|1|192.168.1.10|006275|", ""},
		{"port with zeros", "|1|192.168.1.10|06275|", "192.168.1.10:6275"},
		{"port with sign", "|1|192.168.1.10|+6275|", ""},
		{"no port", "|1|192.168.1.10||", ""},
		{"IPv4 as 2", "|2|192.168.1.10|6275|", ""},
		{"IPv6 as 1", "|1|2001:db8::1|6275|", ""},
		{"mapped as 1", "|1|::ffff:192.168.1.10|6275|", ""},
		{"zeros in the address", "|1|192.168.001.010|6275|", ""},
		{"short address", "|1|192.168.1|6275|", ""},
		{"no family", "||192.168.1.10|6275|", ""},
		{"family in words", "|IPv4|192.168.1.10|6275|", ""},
		{"trailing text", "|1|192.168.1.10|6275|x", ""},
		{"trailing field", "|1|192.168.1.10|6275||", ""},
		{"two spaces", " |1|192.168.1.10|6275|", ""},
		{"digit as delimiter", "01019216811006275", ""},
		{"the delimiter inside", ":2:2001:db8::1:6275:", ""},
		{"nothing", "", ""},
	} {
		t.Run(test.id, func(t *testing.T) {
			got, err := ParseExtendedPort([]byte(test.arg))
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
	for _, arg := range []string{"|3|x|6275|", "|0|192.168.1.10|6275|", "|01|192.168.1.10|6275|"} { // P25
		if _, err := ParseExtendedPort([]byte(arg)); !errors.Is(err, ErrFamily) {
			t.Errorf("P25 %s: got %v", arg, err)
		}
	}
}

func TestAppendExtendedPort(t *testing.T) {
	for hostPort, want := range map[string]string{
		"203.0.113.1:50001":          "|1|203.0.113.1|50001|",
		"[::ffff:203.0.113.1]:50001": "|1|203.0.113.1|50001|",
		"[2001:db8:1:0::10]:5282":    "|2|2001:db8:1::10|5282|",
		"[fe80::1%eth0]:5282":        "|2|fe80::1|5282|",
	} {
		if got := string(AppendExtendedPort(nil, netip.MustParseAddrPort(hostPort))); got != want {
			t.Errorf("%s: got %s", hostPort, got)
		}
	}
	if got := string(AppendExtendedPassive(nil, 50001)); got != "229 Entering Extended Passive Mode (|||50001|)\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestFindExtendedPassive(t *testing.T) {
	for _, test := range []struct {
		id, text string
		want     uint16
	}{
		{"V14", "x (|||6446|)", 6446},
		{"V15", "x (!!!6446!)", 6446},
		{"V16", "|||6446|", 6446},
		{"V17 address", "x (|1|10.0.0.9|6446|)", 0},
		{"address only", "x (||10.0.0.9|6446|)", 0},
		{"V18 port 0", "x (|||0|)", 0},
		{"V19 the port is judged elsewhere", "x (|||22|)", 22},
		{"65536", "x (|||65536|)", 0},
		{"65535", "x (|||65535|)", 65535},
		{"five delimiters", "x (||||6446|)", 0},
		{"two at the end", "x (|||6446||)", 0},
		{"two at the end of five digits", "x (|||64460||)", 0},
		{"unterminated", "x (|||6446)", 0},
		{"the longest without an end", "x (|||64460", 0},
		{"mixed delimiters", "x (|!|6446|)", 0},
		{"sign", "x (|||+6446|)", 0},
		{"two ports", "(|||6446|) (|||6447|)", 0},
		{"two delimiters, one port", "(|||6446|) (!!!6446!)", 6446},
		{"digits do not delimit", "x (111644611)", 0},
		{"space does not delimit", "x    6446 ", 0},
		{"nothing", "", 0},
	} {
		t.Run(test.id, func(t *testing.T) {
			got, err := FindExtendedPassive([]byte(test.text))
			if (err != nil) != (test.want == 0) || got != test.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}
