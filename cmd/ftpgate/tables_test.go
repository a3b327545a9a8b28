package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/proxy/status"
)

// TestVisible: no client writes to the administrator's terminal.
func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"report 2026 – ü.pdf":   "report 2026 – ü.pdf",
		"\x1b[2J\x1b]0;owned\a": `\x1b[2J\x1b]0;owned\a`,
		"a\tb\nc\r":             `a\tb\nc\r`,
		"\xff\xfe":              `\xff\xfe`,
		"\u202egpj.exe":         `\u202egpj.exe`,
		"\u009b31m":             `\u009b31m`,
		"�":                     "�",
		"":                      "",
	} {
		if got := visible(text); got != want {
			t.Errorf("%q became %q, not %q", text, got, want)
		}
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 99_950: "100 kB", 999_499: "999 kB", 999_500: "1.0 MB",
		12_300_000: "12.3 MB", 1 << 63: "9.2 EB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %q, not %q", n, got, want)
		}
	}
	for s, want := range map[float64]string{0: "0s", 0.0123: "12ms", 1.26: "1.3 s", 61: "1 min 1 s", 3700: "1 h 1 min", 90000: "1 d 1 h"} {
		if got := lasted(s); got != want {
			t.Errorf("%v s: %q, not %q", s, got, want)
		}
	}
}

// TestTables: what an administrator reads, whole.
func TestTables(t *testing.T) {
	at := time.Date(2026, 11, 27, 12, 0, 1, 0, time.Local)
	running := status.TransferJSON{Verb: "RETR", Path: "/pub/\x1b[2Jbig.iso", Bytes: 25_000_000, Duration: 10}
	var b bytes.Buffer
	writeStatus(&b, status.StatusJSON{
		Version: "v1.0", Uptime: 3700, NotReady: "it is stopping", Backend: "nftables", BackendWhy: "auto: it does", Sessions: 2, Running: 1,
		Interfaces: []status.Interface{{Name: "lan0", Side: "lan", Up: true, Present: true, Addresses: []string{"192.168.50.1/24", "fd50::1/64"}}, {Name: "wan0", Side: "wan"}},
		Rules:      []status.RuleJSON{{Name: "office", Direction: "outbound", Ports: []uint16{21, 2121}, Limit: 1000, Sessions: 2, Begun: 7, Done: 5, Failed: 1, Bytes: 26_000_000}},
		Ports:      status.PortsJSON{Size: 2000, Lent: 2}, Reloads: 1, FailedReloads: 1, Reloaded: &at, ReloadError: "no rule",
		Audit: status.AuditJSON{Written: 6}, Warnings: []string{"the host does not forward: sysctl -w net.ipv4.ip_forward=1"},
		TurnedAway: slices.Repeat([]status.AwayJSON{{Client: "203.0.113.66", From: "203.0.113.66:4000", Dialled: "203.0.113.1:21", Reason: "no_rule", Count: 1200,
			First: at, Last: at, Reply: "421 no", Diagnosis: "There is no rule\x1b."}}, 12),
	})
	b.WriteString("--\n")
	writeSessions(&b, status.SessionsJSON{Sessions: []status.SessionJSON{
		{ID: 4, Rule: "office", User: "anna", LoggedIn: true, Client: "192.168.50.10:4000", SeenAs: "203.0.113.1:5000", Server: "203.0.113.20:21", Bytes: 26_000_000, Transfer: &running},
		{ID: 5, Rule: "office", User: "bob", Client: "192.168.50.11:4000", Server: "203.0.113.20:21", Idle: 75},
		{ID: 6, Rule: "office", Client: "192.168.50.11:4001", Server: "203.0.113.20:21", Pinhole: "x"},
		{ID: 7, Rule: "office", User: "eve", LoggedIn: true, Client: "192.168.50.11:4002", Server: "203.0.113.20:21", Pinhole: "x", Transfer: &status.TransferJSON{Verb: "RETR", Path: "b"}},
		{ID: 8, Rule: "office", User: "joe", LoggedIn: true, Client: "192.168.50.11:4003", Server: "203.0.113.20:21", Transfer: &status.TransferJSON{Verb: "LIST", Diagnosis: "Nobody answers.", Evidence: []string{"answers: none"}}},
	}})
	writeSessions(&b, status.SessionsJSON{})
	b.WriteString("--\n")
	writePinholes(&b, status.PinholesJSON{Pinholes: []status.PinholeJSON{
		{ID: 9, Session: 6, State: "waiting", Interface: "wan0", Source: "203.0.113.20", SourcePort: 20, Destination: "203.0.113.1:50000",
			Target: "192.168.50.10:4001", Waited: 7, Expires: 52.96, Diagnosis: "No SYN has come so far.", Evidence: []string{"packets at the pinhole: 0"}},
		{ID: 7, Session: 4, State: "used", Interface: "lan0", Source: "192.168.50.10", Destination: "203.0.113.20:4000"},
	}})
	writePinholes(&b, status.PinholesJSON{})
	b.WriteString("--\n")
	failed := status.TransferJSON{Time: at, Session: 6, Rule: "office", Client: "192.168.50.11:4001", Server: "203.0.113.20:21", Verb: "PASV", Mode: "passive",
		Duration: 60, Result: "unused", Cause: "never_connected", Diagnosis: "The client never connected.", Evidence: []string{"expected: SYN", "packets at the pinhole: 0"}}
	done := status.TransferJSON{Time: at, Session: 4, Rule: "office", User: "anna", Client: "192.168.50.10:4000", Server: "203.0.113.20:21", Verb: "STOR", Path: "a",
		Mode: "active", Bytes: 999, Duration: 0.05, Result: "done"}
	writeTransfers(&b, status.TransfersJSON{Transfers: []status.TransferJSON{failed, done}}, false)
	writeTransfers(&b, status.TransfersJSON{Transfers: []status.TransferJSON{failed}}, true)
	want := `
ftpgate v1.0, up 1 h 1 min, NOT READY: it is stopping

backend   nftables (auto: it does)
sessions  2; transfers that run: 1
pinholes  0 wait; 0 opened: 0 used, 0 expired, 0 given up; 0 could not be opened
ports     2 of 2000 lent, 0 resting; none was free 0 times
repairs   0
reloads   1, and 1 refused; last 2026-11-27 12:00:01
          refused: no rule
audit     6 records, 0 lost

INTERFACE  SIDE  STATE  ADDRESSES
lan0       lan   up     192.168.50.1/24 fd50::1/64
wan0       wan   absent

RULE    DIRECTION  PORTS    SESSIONS   BEGUN  TRANSFERS  FAILED  CARRIED
office  outbound   21 2121  2 of 1000  7      5          1       26.0 MB

TURNED AWAY   DIALLED         RULE  REASON   TIMES  LAST
` + strings.Repeat(`203.0.113.66  203.0.113.1:21  -     no_rule  1200   2026-11-27 12:00:01
    There is no rule\x1b.
`, 10) + `and 2 more: ftpgate status --json | jq .turned_away

warning: the host does not forward: sysctl -w net.ipv4.ip_forward=1
--
SESSION  RULE    USER            CLIENT              SEEN AS           SERVER           TRANSFER                                     CARRIED  IDLE
4        office  anna            192.168.50.10:4000  203.0.113.1:5000  203.0.113.20:21  RETR /pub/\x1b[2Jbig.iso: 25.0 MB, 2.5 MB/s  26.0 MB  0s
5        office  bob (no login)  192.168.50.11:4000  -                 203.0.113.20:21  -                                            0 B      1 min 15 s
6        office  -               192.168.50.11:4001  -                 203.0.113.20:21  awaits a data connection                     0 B      0s
7        office  eve             192.168.50.11:4002  -                 203.0.113.20:21  RETR b: awaits its data connection           0 B      0s
8        office  joe             192.168.50.11:4003  -                 203.0.113.20:21  LIST: 0 B                                    0 B      0s
    Nobody answers.
      answers: none
no sessions
--
PINHOLE  SESSION  STATE    BY    FROM                  TO                 LED TO              SEEN THERE AS  WAITED  CLOSES IN
9        6        waiting  wan0  203.0.113.20 port 20  203.0.113.1:50000  192.168.50.10:4001  -              7.0 s   53.0 s
    No SYN has come so far.
      packets at the pinhole: 0
7        4        used     lan0  192.168.50.10         203.0.113.20:4000  -                   -              -       -
no pinhole waits for a connection
--
TIME      SESSION  RULE    USER  CLIENT              SERVER           WHAT    MODE     BYTES  TOOK       RESULT
12:00:01  6        office  -     192.168.50.11:4001  203.0.113.20:21  PASV    passive  0 B    1 min 0 s  never_connected
    The client never connected.
12:00:01  4        office  anna  192.168.50.10:4000  203.0.113.20:21  STOR a  active   999 B  50ms       done
TIME      SESSION  RULE    USER  CLIENT              SERVER           WHAT  MODE     BYTES  TOOK       RESULT
12:00:01  6        office  -     192.168.50.11:4001  203.0.113.20:21  PASV  passive  0 B    1 min 0 s  never_connected
    The client never connected.
      expected: SYN
      packets at the pinhole: 0
`
	got, expected := strings.Split("\n"+b.String(), "\n"), strings.Split(want, "\n")
	for i := range max(len(got), len(expected)) {
		if i >= len(got) || i >= len(expected) || got[i] != expected[i] {
			t.Fatalf("line %d differs; all of it:\n%s", i, b.String())
		}
	}
}
