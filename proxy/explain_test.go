package proxy

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/proxy/policy"
)

// TestExplain: each cause from what was seen, the sentence in plain words, and
// always what had been expected.
func TestExplain(t *testing.T) {
	opened := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	base := facts{
		hole: firewall.Hole{Pinhole: firewall.Pinhole{
			Interface: "wan0", Source: netip.MustParseAddr("198.51.100.20"),
			Destination: netip.MustParseAddrPort("203.0.113.1:50001"), Target: netip.MustParseAddrPort("192.168.1.5:40000"),
		}, Expires: opened.Add(time.Minute)},
		announced: netip.MustParseAddrPort("203.0.113.1:50001"), passive: true, opened: opened, waited: 12 * time.Second,
	}
	syn := func(after time.Duration, via, from, to string) RefusedPacket {
		return RefusedPacket{opened.Add(after), via, netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)}
	}
	for name, c := range map[string]struct {
		change   func(*facts)
		cause    Cause
		sentence string
	}{
		"nothing came": {func(*facts) {}, CauseNoConnection,
			"The client never connected: a SYN from 198.51.100.20 to 203.0.113.1:50001 was awaited by wan0 for 12s, and none came."},
		"nothing came from the server": {func(f *facts) { f.passive = false }, CauseNoConnection, "The server never connected"},
		"the server waited in vain":    {func(f *facts) { f.code, f.reply = 425, "425 Can't open data connection." }, CauseNoConnection, "never connected"},
		"another address": {func(f *facts) {
			f.refused = []RefusedPacket{syn(time.Second, "wan0", "198.51.100.99:4000", "203.0.113.1:50001")}
		}, CauseElsewhere, "came from 198.51.100.99, but the client's control connection comes from 198.51.100.20"},
		"another interface": {func(f *facts) {
			f.refused = []RefusedPacket{syn(time.Second, "lan0", "198.51.100.20:4000", "203.0.113.1:50001")}
		}, CauseElsewhere, "came by interface lan0, but the way to 198.51.100.20 is by wan0"},
		"another source port": {func(f *facts) {
			f.hole.SourcePort = 20
			f.refused = []RefusedPacket{syn(time.Second, "wan0", "198.51.100.20:4000", "203.0.113.1:50001")}
		}, CauseElsewhere, "from port 4000, but this rule admits port 20 alone"},
		"too late": {func(f *facts) {
			f.refused = []RefusedPacket{syn(64*time.Second, "wan0", "198.51.100.20:4000", "203.0.113.1:50001")}
		}, CauseLate, "The client connected 4s after its pinhole had expired"},
		"another port": {func(f *facts) {
			f.refused = []RefusedPacket{syn(time.Second, "wan0", "198.51.100.20:4000", "203.0.113.1:50777")}
		}, CauseRewritten, "port 50001 was announced, and the client connected to 50777"},
		"a stranger at another port": {func(f *facts) {
			f.refused = []RefusedPacket{syn(time.Second, "wan0", "198.51.100.99:4000", "203.0.113.1:50777")}
		}, CauseNoConnection, "never connected"},
		"dropped here": {func(f *facts) { f.seen, f.counted = 3, true }, CauseDropped, "was dropped on this host, at hook forward"},
		"not forwarded": {func(f *facts) { f.seen, f.counted, f.blocked = 1, true, "net.ipv4.ip_forward is 0" }, CauseDropped,
			"was not forwarded: net.ipv4.ip_forward is 0"},
		"the kernel's helper": {func(f *facts) { f.helper = "ftp" }, CauseKernelHelper, "own helper (ftp) works on the same control connection"},
		"no such file":        {func(f *facts) { f.code, f.reply = 550, "550 No such file." }, CauseServer, `The server answered "550 No such file."`},
		"broken off": {func(f *facts) { f.came, f.code, f.reply = true, 426, "426 Connection closed." }, CauseServer,
			`The server answered "426 Connection closed."`},
		"nobody answers the client": {func(f *facts) { f.came, f.silent, f.code = true, opened, 425 }, CauseUnanswered,
			"The client's SYN came through the pinhole and was led to the server, to 192.168.1.5:40000, which did not answer: a firewall of the server"},
		"nobody answers the server": {func(f *facts) { f.came, f.silent, f.passive = true, opened, false }, CauseUnanswered,
			"The server's SYN came through the pinhole and was led to the client, to 192.168.1.5:40000, which did not answer: a firewall of the client"},
		"nobody answers, and there is no file": {func(f *facts) { f.came, f.silent, f.code, f.reply = true, opened, 550, "550 No." }, CauseServer, `The server answered "550 No."`},
		"no last word":                         {func(f *facts) { f.came = true }, CauseLeft, "ended before the server had said"},
	} {
		t.Run(name, func(t *testing.T) {
			f := base
			c.change(&f)
			d := explain(f)
			if d.Cause != c.cause || !strings.Contains(d.Sentence, c.sentence) {
				t.Errorf("%s: %s", d.Cause, d.Sentence)
			}
			if len(d.Evidence) == 0 || !strings.HasPrefix(d.Evidence[0], "expected: SYN from 198.51.100.20 to 203.0.113.1:50001 by wan0") {
				t.Errorf("evidence: %q", d.Evidence)
			}
			if len(f.refused) > 0 && d.Cause != CauseNoConnection && !strings.Contains(d.Evidence[len(d.Evidence)-1], "refused: SYN from") {
				t.Errorf("evidence: %q", d.Evidence)
			}
		})
	}
}

// TestSoFar: what is known while the connection is still waited for is what was
// seen, and no verdict as long as nothing was.
func TestSoFar(t *testing.T) {
	opened := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	f := facts{
		hole: firewall.Hole{Pinhole: firewall.Pinhole{Interface: "wan0", Source: netip.MustParseAddr("198.51.100.20"),
			Destination: netip.MustParseAddrPort("203.0.113.1:50001")}, Expires: opened.Add(time.Minute)},
		announced: netip.MustParseAddrPort("203.0.113.1:50001"), passive: true, opened: opened, waited: 7 * time.Second, counted: true,
	}
	const silence = "No SYN has come so far: the client's, from 198.51.100.20 to 203.0.113.1:50001 by wan0, has been awaited for 7s."
	if d := f.soFar(); d.Cause != CauseNone || d.Sentence != silence || len(d.Evidence) != 2 || d.Evidence[1] != "packets at the pinhole: 0" {
		t.Errorf("%+v", d)
	}
	for i := range 3 {
		f.refused = append(f.refused, RefusedPacket{opened.Add(time.Duration(i+1) * time.Second), "wan0",
			netip.AddrPortFrom(netip.MustParseAddr("198.51.100.99"), uint16(4000+i)), f.hole.Destination})
	}
	const seen = "refused: SYN from 198.51.100.99:4000 to 203.0.113.1:50001 by wan0 at 12:00:01.000, at hook prerouting; " +
		"3 of them in all, the last a SYN from 198.51.100.99:4002 to 203.0.113.1:50001 by wan0 at 12:00:03.000"
	if d := f.soFar(); d.Cause != CauseElsewhere || d.Evidence[len(d.Evidence)-1] != seen {
		t.Errorf("%+v", d)
	}
	f.refused, f.seen = nil, 2
	if d := f.soFar(); d.Cause != CauseDropped {
		t.Errorf("%+v", d)
	}
}

// TestExplainRefusal: each refusal that concerns data connections has its cause.
func TestExplainRefusal(t *testing.T) {
	for reason, cause := range map[policy.Reason]Cause{
		policy.ForeignData: CauseForeign, policy.Exhausted: CauseExhausted, policy.NoPinhole: CauseFirewall,
		policy.BadReply: CauseUnusableReply, policy.Syntax: CauseSyntax, policy.NotNegotiated: CauseNotNegotiated, policy.Expired: CauseNoConnection,
		policy.ModeDenied: CausePolicy, policy.CommandDenied: CausePolicy, policy.PortDenied: CausePolicy,
	} {
		d := explainRefusal(&policy.Refusal{Code: 501, Say: "No.", Why: "the reason of it", Reason: reason})
		if d.Cause != cause || !strings.HasSuffix(d.Sentence, ".") || len(d.Evidence) == 0 {
			t.Errorf("%s: %+v", reason, d)
		}
	}
}

// TestJournalKeepsFailures: a mirror's successes do not push a failure out.
func TestJournalKeepsFailures(t *testing.T) {
	g := &Server{}
	failure := g.journal.record(Transfer{Rule: "r", Result: Failed, Path: "lost", Diagnosis: Diagnosis{Cause: CauseNoConnection}})
	for range 3 * keptSuccesses {
		g.journal.record(Transfer{Rule: "r", Kind: Download, Mode: Passive, Result: Done, Bytes: 10})
	}
	all := g.Transfers()
	if len(all) != keptSuccesses+1 || all[0].Result != Done || all[keptSuccesses].Path != "lost" {
		t.Fatalf("%d kept, the last is %+v", len(all), all[len(all)-1])
	}
	if _, kept := g.journal.correct(failure, Diagnosis{Cause: CauseLate, Sentence: "late"}); !kept {
		t.Error("it cannot be corrected any more")
	}
	stats := g.Stats()
	if stats.Causes[CauseNoConnection] != 1 || stats.Causes[CauseLate] != 1 {
		t.Errorf("causes: %v", stats.Causes)
	}
	if got := stats.Transfers[TransferClass{"r", Download, Passive, Done}]; got != (TransferCount{3 * keptSuccesses, 30 * keptSuccesses}) {
		t.Errorf("counted %+v", got)
	}
	for range keptFailures {
		g.journal.record(Transfer{Result: Failed})
	}
	if _, kept := g.journal.correct(failure, Diagnosis{}); kept {
		t.Error("failures are kept without a bound")
	}
}
