package audit

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ftpgate/ftpgate/proxy"
)

// download is an account; change makes another one of it.
func download(change func(*proxy.Transfer)) proxy.Transfer {
	t := proxy.Transfer{
		Session: 7, Began: time.Date(2026, 11, 6, 9, 8, 7, 123456789, time.UTC), Duration: 2600 * time.Millisecond,
		Rule: "out", Direction: "outbound", User: "lab",
		Client: netip.MustParseAddrPort("192.168.50.10:40000"), Server: netip.MustParseAddrPort("203.0.113.20:21"),
		Verb: "RETR", Path: "/pub/a.bin", Kind: proxy.Download, Mode: proxy.Passive, Image: true, Bytes: 1234,
		Result: proxy.Done, Reply: "226 Transfer complete.",
	}
	if change != nil {
		change(&t)
	}
	return t
}

func TestTransferLine(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*proxy.Transfer)
		want   string
	}{
		"a download": {nil,
			`{"time":"2026-11-06T09:08:07.123457Z","duration_seconds":2.6,"session":7,"rule":"out","direction":"outbound","user":"lab",` +
				`"client":"192.168.50.10:40000","server":"203.0.113.20:21","verb":"RETR","path":"/pub/a.bin","kind":"download","mode":"passive",` +
				`"bytes":1234,"result":"done","reply":"226 Transfer complete."}`},
		"a failure, with all that was seen": {func(t *proxy.Transfer) {
			t.Result, t.Bytes, t.Reply = proxy.Failed, 0, "425 Can't open data connection."
			t.Diagnosis = proxy.Diagnosis{Cause: proxy.CauseNoConnection, Sentence: "Nothing came.", Evidence: []string{"waited 60s"}}
		},
			`{"time":"2026-11-06T09:08:07.123457Z","duration_seconds":2.6,"session":7,"rule":"out","direction":"outbound","user":"lab",` +
				`"client":"192.168.50.10:40000","server":"203.0.113.20:21","verb":"RETR","path":"/pub/a.bin","kind":"download","mode":"passive",` +
				`"bytes":0,"result":"failed","reply":"425 Can't open data connection.","cause":"never_connected","diagnosis":"Nothing came.","evidence":["waited 60s"]}`},
		"bytes that are no UTF-8, what a terminal obeys, and what JSON quotes": {func(t *proxy.Transfer) {
			t.User, t.Path, t.Reply = "j\xf6rg", "<\"a\"\\>\x1b[2J\u009b1m\x7f\u202e\U000e0041 ä", "226 \xff"
		},
			`{"time":"2026-11-06T09:08:07.123457Z","duration_seconds":2.6,"session":7,"rule":"out","direction":"outbound","user":"j` + "\ufffd" + `rg","user_bytes":"avZyZw==",` +
				`"client":"192.168.50.10:40000","server":"203.0.113.20:21","verb":"RETR","path":"<\"a\"\\>\u001b[2J\u009b1m\u007f\u202e\udb40\udc41 ä","kind":"download","mode":"passive",` +
				`"bytes":1234,"result":"done","reply":"226 ` + "\ufffd" + `","reply_bytes":"MjI2IP8="}`},
	} {
		t.Run(name, func(t *testing.T) {
			transfer := download(c.change)
			line := string(transferLine(&transfer))
			if diff := cmp.Diff(strings.ReplaceAll(c.want, "\\ufffd", "\ufffd")+"\n", strings.ReplaceAll(line, `\ufffd`, "\ufffd")); diff != "" {
				t.Error(diff)
			}
			var back record
			if err := json.Unmarshal([]byte(line), &back); err != nil {
				t.Fatal(err)
			}
			path := back.Path
			if back.PathBytes != nil {
				path = string(back.PathBytes)
			}
			if path != transfer.Path {
				t.Errorf("the path comes back as %q", path)
			}
		})
	}
}

func TestXferlogLine(t *testing.T) {
	old := time.Local
	time.Local = time.FixedZone("here", 3600)
	defer func() { time.Local = old }()
	for name, c := range map[string]struct {
		change func(*proxy.Transfer)
		want   string
	}{
		"a download": {nil, "Fri Nov  6 10:08:09 2026 3 192.168.50.10 1234 /pub/a.bin b _ o r lab ftp 0 * c"},
		"an upload as text that was cut": {func(t *proxy.Transfer) {
			t.Kind, t.Image, t.Result = proxy.Upload, false, proxy.Failed
		}, "Fri Nov  6 10:08:09 2026 3 192.168.50.10 1234 /pub/a.bin a _ i r lab ftp 0 * i"},
		"anonymous, over IPv6, at once": {func(t *proxy.Transfer) {
			t.User, t.Client, t.Duration = "Anonymous", netip.MustParseAddrPort("[2001:db8::7%lan0]:1"), 20*time.Millisecond
		}, "Fri Nov  6 10:08:07 2026 1 2001:db8::7 1234 /pub/a.bin b _ o a Anonymous ftp 0 * c"},
		"a name that would be fields, lines or commands": {func(t *proxy.Transfer) {
			t.User, t.Path = "a b", "x y\tz\r\n\x1b\x7f\u0085\u00a0\u2028 ö\xf6\x9b\xa0\xff"
		}, "Fri Nov  6 10:08:09 2026 3 192.168.50.10 1234 x_y_z________ö\xf6__\xff b _ o r a_b ftp 0 * c"},
		"no name": {func(t *proxy.Transfer) { t.Verb, t.Kind, t.Path, t.User = "STOU", proxy.Upload, "", "" },
			"Fri Nov  6 10:08:09 2026 3 192.168.50.10 1234 _ b _ i r _ ftp 0 * c"},
		"a listing":     {func(t *proxy.Transfer) { t.Kind = proxy.Listing }, ""},
		"refused":       {func(t *proxy.Transfer) { t.Result = proxy.Refused }, ""},
		"not asked for": {func(t *proxy.Transfer) { t.Kind, t.Result = proxy.Nothing, proxy.Unused }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			transfer := download(c.change)
			if got := strings.TrimSuffix(string(xferlogLine(&transfer)), "\n"); got != c.want {
				t.Errorf("\ngot  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestShortened(t *testing.T) {
	long := "226 " + strings.Repeat("ä", keptReply)
	if got := shortened(long); len(got) < keptReply-4 || len(got) > keptReply || !strings.HasPrefix(long, got) || faithful(got) != nil {
		t.Errorf("%d bytes, ends with %q", len(got), got[len(got)-4:])
	}
	if got := shortened(strings.Repeat("\x80", 5000)); len(got) < keptReply-4 {
		t.Errorf("%d bytes", len(got))
	}
}
