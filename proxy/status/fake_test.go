package status

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/nat"
	"github.com/ftpgate/ftpgate/proxy"
)

// hostile is what a client may call itself: markup, control characters, quotes,
// and a byte that is no UTF-8.
const hostile = "<b>\"\\\n\x1b[2J\xff{rule=\"x\"}"

// fake is a gateway of which every optional value is present and absent once.
type fake struct {
	gateway  Gateway
	sessions []proxy.Session
	bytes    uint64
	warnings []string
}

func newFake(sessions int) *fake {
	began := time.Now().Add(-time.Minute)
	f := &fake{gateway: Gateway{
		Version: "v1", Began: began, Ready: true, Backend: "nftables", BackendWhy: "auto: it does",
		Interfaces: []Interface{{Name: "lan0", Side: "lan", Up: true, Present: true, Addresses: []string{"192.168.50.1/24"}}, {Name: "wan0", Side: "wan", Addresses: []string{}}},
		Rules:      []Rule{{Name: "out", Direction: "outbound", Ports: []uint16{21}, Limit: 10}, {Name: "in", Direction: "inbound", Ports: []uint16{21, 2121}, Limit: 5}},
	}}
	running := fakeTransfer(0, proxy.Running)
	for i := range sessions {
		s := proxy.Session{
			ID: uint64(i + 1), Rule: "out", Direction: "outbound", Client: netip.MustParseAddrPort("192.168.50.10:40000"),
			Dialled: netip.MustParseAddrPort("203.0.113.20:21"), Server: netip.MustParseAddrPort("203.0.113.20:21"), ClientVia: "lan0",
			Began: began, Heard: began,
		}
		if i%2 == 1 {
			s.User, s.LoggedIn, s.SeenAs, s.ServerVia = hostile, true, netip.MustParseAddrPort("203.0.113.1:5000"), "wan0"
			s.Pinhole, s.Transfer = "a pinhole", &running
		}
		f.sessions = append(f.sessions, s)
	}
	return f
}

func fakeTransfer(session uint64, result proxy.Result) proxy.Transfer {
	t := proxy.Transfer{
		Session: session, Began: time.Now(), Duration: time.Second, Rule: "out", Direction: "outbound", User: hostile,
		Client: netip.MustParseAddrPort("[2001:db8::1]:40000"), Server: netip.MustParseAddrPort("[2001:db8::2]:21"),
		Verb: "RETR", Path: hostile, Kind: proxy.Download, Mode: proxy.Passive, Bytes: 1 << 40, Result: result,
	}
	if result != proxy.Done && result != proxy.Running {
		t.Reply = "425 Cannot open data connection."
		t.Diagnosis = proxy.Diagnosis{Cause: proxy.CauseNoConnection, Sentence: "Nothing came.", Evidence: []string{"one", "two"}}
	}
	return t
}

func (f *fake) Gateway() Gateway { return f.gateway }

func (f *fake) Warnings() []string { return f.warnings }

func (f *fake) Sessions(after uint64, limit int) []proxy.Session {
	from := slices.IndexFunc(f.sessions, func(s proxy.Session) bool { return s.ID > after })
	if from < 0 {
		return nil
	}
	return f.sessions[from:min(len(f.sessions), from+limit)]
}

func (f *fake) Pinholes() []proxy.Pinhole {
	plain := firewall.Hole{ID: 1, Expires: time.Now().Add(time.Minute), Pinhole: firewall.Pinhole{
		Interface: "wan0", Source: netip.MustParseAddr("203.0.113.20"), Destination: netip.MustParseAddrPort("203.0.113.1:50000"), Session: 1,
	}}
	whole := plain
	whole.ID, whole.SourcePort, whole.Target, whole.SourceAs = 2, 20, netip.MustParseAddrPort("192.168.50.10:4000"), netip.MustParseAddr("192.168.50.1")
	used := plain
	used.ID = 3
	return []proxy.Pinhole{
		{Standing: firewall.Standing{Hole: plain}, Waited: time.Millisecond},
		{Standing: firewall.Standing{Hole: whole}, Waited: 7 * time.Second, Diagnosis: proxy.Diagnosis{
			Cause: proxy.CauseElsewhere, Sentence: "It came from elsewhere.", Evidence: []string{"refused: SYN"}}},
		{Standing: firewall.Standing{Hole: used, Used: true}},
	}
}

func (f *fake) Transfers() (all []proxy.Transfer) {
	for i := range 150 {
		all = append(all, fakeTransfer(uint64(i), []proxy.Result{proxy.Done, proxy.Failed, proxy.Unused}[i%3]))
	}
	return all
}

func (f *fake) TurnedAway() (all []proxy.TurnedAway) {
	if len(f.sessions) == 0 {
		return nil
	}
	for _, client := range []string{"203.0.113.66/32", "2001:db8::/64"} {
		all = append(all, proxy.TurnedAway{
			Client: netip.MustParsePrefix(client), Reason: "no_rule", Count: 3, First: time.Now(), Last: time.Now(),
			From: netip.MustParseAddrPort("203.0.113.66:4000"), Dialled: netip.MustParseAddrPort("203.0.113.1:21"), Reply: "421 no", Sentence: "There is no rule.",
		})
	}
	all[1].Rule = "in"
	return all
}

func (f *fake) SessionStats() proxy.Stats {
	return proxy.Stats{
		Active: map[string]int{"out": len(f.sessions)}, Begun: map[string]uint64{"out": 100, "gone": 3}, Refusals: map[string]uint64{"no_rule": 2},
		Transfers: map[proxy.TransferClass]proxy.TransferCount{
			{Rule: "out", Kind: proxy.Download, Mode: proxy.Passive, Result: proxy.Done}:   {Transfers: 7, Bytes: 700},
			{Rule: "out", Kind: proxy.Download, Mode: proxy.Passive, Result: proxy.Failed}: {Transfers: 2, Bytes: 1},
			{Rule: "gone", Kind: proxy.Upload, Mode: proxy.Active, Result: proxy.Done}:     {Transfers: 1, Bytes: 9},
		},
		Causes: map[proxy.Cause]uint64{proxy.CauseNoConnection: 2},
	}
}

func (f *fake) Carried() (uint64, int) { return f.bytes, 3 }

func (f *fake) FirewallStats() firewall.Stats {
	s := firewall.Stats{Open: 2, Opened: 10, Used: 6, Expired: 1, Released: 1, Failed: 1, Repairs: 4}
	s.OpenTimes.Counts[0], s.OpenTimes.Counts[len(firewall.OpenBounds)], s.OpenTimes.Sum = 9, 1, 7*time.Second
	return s
}

func (f *fake) PortStats() nat.PortStats {
	return nat.PortStats{Size: 2000, Lent: 5, Shared: 1, Resting: 10, Refused: 1}
}

func (f *fake) FlowStats() nat.FlowStats { return nat.FlowStats{Events: 12, Lost: 1} }

// open starts an endpoint for the source, and ends it with the test.
func open(t *testing.T, source Source, o Options) *Server {
	t.Helper()
	s := New(source, zap.NewNop())
	t.Cleanup(func() { s.Close() })
	change(t, s, o)
	return s
}

func change(t *testing.T, s *Server, o Options) {
	t.Helper()
	c, err := s.Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	c.Commit()
}

// freePort is one of the loopback address that nobody listens at.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(l.Addr())
}
