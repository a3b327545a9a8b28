package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
)

// good is a flow as it should be, on the first way.
func good() flow {
	t := dialogue.Transfer{Remote: netip.MustParseAddrPort("203.0.113.20:20"), Bytes: fileSize, SHA256: "ab"}
	return flow{way: ways[0], mode: dialogue.PORT, stored: t, fetched: t,
		rules: ruleset{{admits, "-A FTPGATE-GATE -j CONNMARK"}, {leads, "-A FTPGATE-DNAT -j DNAT"}}}
}

// TestCheck: the demo must not be able to praise what went wrong.
func TestCheck(t *testing.T) {
	f := good()
	if err := f.check(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		why   string
		spoil func(*flow)
	}{
		{"fetched", func(f *flow) { f.fetched.SHA256 = "cd" }},
		{"fetched", func(f *flow) { f.fetched.Bytes-- }},
		{"fetched", func(f *flow) { f.stored.Bytes, f.fetched.Bytes = 0, 0 }},
		{"had dialled", func(f *flow) { f.stored.Remote = netip.MustParseAddrPort("203.0.113.66:20") }},
		{"had dialled", func(f *flow) { f.fetched.Remote = netip.AddrPort{} }},
		{"translate", func(f *flow) { f.rules = f.rules[:1] }},
		{"translate", func(f *flow) { f.way.translated = false }},
	} {
		f := good()
		c.spoil(&f)
		if err := f.check(); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("want %q, got %v", c.why, err)
		}
	}
}

func TestVerdict(t *testing.T) {
	f := good()
	bad := flow{way: ways[0], mode: dialogue.EPRT, err: errDaemonEnded}
	for _, c := range []struct {
		way  way
		mode dialogue.Mode
		want string
	}{
		{ways[0], dialogue.PORT, "ok DNAT"},
		{ways[0], dialogue.EPRT, "FAILED"},
		{ways[0], dialogue.PASV, "not tried"},
		{ways[2], dialogue.PASV, "-"},
		{ways[2], dialogue.EPSV, "not tried"},
	} {
		if got, _ := verdict([]flow{f, bad}, c.way, c.mode); got != c.want {
			t.Errorf("%s, %s: %q, want %q", c.way.name, c.mode, got, c.want)
		}
	}
}
