//go:build kernel

package nat

import (
	"net/netip"
	"testing"
	"time"

	"go.uber.org/zap"
)

// TestChanges: what concerns us is told at once, and the host's addresses are known by then; a route of anybody else is
// not told.
func TestChanges(t *testing.T) {
	h := newHost(t, "router")
	told := make(chan struct{}, 100)
	var c *Changes
	h.do(t, func() {
		var err error
		c, err = WatchChanges(zap.NewNop(), func() { told <- struct{}{} })
		must(t, err)
		t.Cleanup(func() { c.Close() })
	})
	// learn works in the namespace of its thread, which is any one of the process here: see the daemon's tests for Local.
	expect := func(what string, want bool) {
		t.Helper()
		wait := 5 * time.Second
		if !want {
			wait = 20 * changeRest
		}
		select {
		case <-told:
			if !want {
				t.Errorf("%s was told", what)
			}
		case <-time.After(wait):
			if want {
				t.Errorf("%s was not told", what)
			}
		}
		for len(told) > 0 {
			<-told
		}
	}
	quiet := func() {
		for {
			select {
			case <-told:
			case <-time.After(20 * changeRest):
				return
			}
		}
	}
	for _, step := range []struct {
		what, command string
		told          bool
	}{
		{"a link", "ip link add w0 type bridge", true},
		{"an address", "ip address add 192.0.2.1/24 dev w0", true},
		{"an address that goes", "ip address del 192.0.2.1/24 dev w0", true},
		{"an ip rule", "ip rule add priority 99 fwmark 1 lookup 77", true},
		{"a route of the main table", "ip route add unreachable 198.51.100.0/24", false},
		{"a route of a table like ours", "ip route add local default dev lo table 2121", true},
		{"a link that goes", "ip link del w0", true},
	} {
		quiet()
		h.run(t, step.command)
		expect(step.what, step.told)
	}
	if !c.Local(netip.MustParseAddr("127.0.0.1")) {
		t.Error("the loopback address is not known")
	}
	must(t, c.Close())
}
