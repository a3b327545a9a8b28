package proxy

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/proxy/policy"
)

// TestTurnedAway: who hammers is one line, of IPv6 with its whole network, hides
// nobody else, and costs no more than so much.
func TestTurnedAway(t *testing.T) {
	g := &Server{}
	turn := func(client string, reason policy.Reason) {
		a := policy.Arrival{Client: netip.MustParseAddrPort(client), Dialled: netip.MustParseAddrPort("203.0.113.1:21")}
		g.journal.turn(a, "in", &policy.Refusal{Reason: reason, Code: 421, Say: "No.", Why: "the reason of it"})
	}
	turn("192.168.1.5:1000", policy.Unreachable)
	turn("198.51.100.9:1000", policy.SessionLimit)
	for i := range 1000 {
		turn(fmt.Sprintf("[2001:db8:1:2::%x]:4000", i+1), policy.NoRule)
	}
	all := g.TurnedAway()
	if len(all) != 3 || all[0].Client.String() != "2001:db8:1:2::/64" || all[0].Count != 1000 || all[0].From.String() != "[2001:db8:1:2::3e8]:4000" ||
		all[0].First.After(all[0].Last) || all[0].Reply != "421 No." {
		t.Fatalf("%+v", all)
	}
	for i := range 5 * keptTurnedAway {
		turn(fmt.Sprintf("10.0.%d.%d:4000", i/250, i%250), policy.NoRule)
	}
	all = g.TurnedAway()
	reasons := make(map[policy.Reason]int)
	for _, one := range all {
		reasons[one.Reason]++
	}
	if reasons[policy.Unreachable] != 1 || reasons[policy.SessionLimit] != 1 || len(all) != keptTurnedAway {
		t.Errorf("kept %d: %v", len(all), reasons)
	}
	if !slices.IsSortedFunc(all, func(a, b TurnedAway) int { return b.Last.Compare(a.Last) }) || time.Since(all[0].Last) > time.Minute {
		t.Error("the newest is not the first")
	}
	if n := g.Stats().Refusals[string(policy.NoRule)]; n != 1000+5*keptTurnedAway {
		t.Errorf("%d were counted", n)
	}
	if len(g.Transfers()) != 0 {
		t.Error("they are among the transfers")
	}
}
