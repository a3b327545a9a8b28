package nat

import (
	"net/netip"
	"testing"
	"time"
)

func TestRecent(t *testing.T) {
	var r recent
	now := time.Now()
	at := netip.MustParseAddrPort("192.168.50.10:40000")
	for _, step := range []struct {
		after time.Duration
		known bool
	}{
		{0, false}, {0, true}, {recentTime - 1, true}, {recentTime, true},
		{4*recentTime + 1, false}, {recentTime, true}, {3 * recentTime, false},
	} {
		now = now.Add(step.after)
		if known := r.again(at, now); known != step.known {
			t.Errorf("%s later: known %v", step.after, known)
		}
	}
	strangers := 0
	for port := range uint16(30000) {
		if r.again(netip.AddrPortFrom(netip.MustParseAddr("192.168.50.11"), port), now) {
			strangers++
		}
	}
	if strangers > 1000 { // of 30,000 hashes in 1,048,576 places, some 430 meet another one
		t.Errorf("%d of 30,000 addresses are taken for known", strangers)
	}
}
