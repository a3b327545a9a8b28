//go:build kernel

package nat

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// showRouting is the whole of what Routing may touch.
const showRouting = "for f in -4 -6; do ip $f rule show; ip $f route show table all; done"

func testRouting(interfaces ...string) *Routing {
	return &Routing{Mark: testMark, Mask: testMask, Interfaces: interfaces, IPv4: true, IPv6: true}
}

// What Install adds, Remove takes away, and nothing else.
func TestRoutingLeavesNoTrace(t *testing.T) {
	h := newHost(t, "router")
	h.run(t, "ip rule add priority 121 fwmark 1 lookup 100; ip -6 rule add priority 121 iif lo lookup 2121")
	before := h.run(t, showRouting)
	routing := testRouting("lan0", "wan0") // neither exists
	h.do(t, func() {
		must(t, routing.Remove())
		if repaired, err := routing.Verify(); err != nil || repaired != nil {
			t.Errorf("Verify before Install: %v, %v", repaired, err)
		}
		must(t, routing.Install())
		must(t, routing.Install())
	})
	during := h.run(t, showRouting)
	for _, want := range []string{
		"121:	from all fwmark 0x46000000/0xff000000 iif lan0 [detached] lookup 2122 proto 70",
		"121:	from all fwmark 0x46000000/0xff000000 iif wan0 [detached] lookup 2122 proto 70",
		"local default dev lo table 2122 proto 70",
	} {
		if strings.Count(during, want) != 2 {
			t.Errorf("want twice: %s\ngot:\n%s", want, during)
		}
	}
	h.do(t, func() {
		must(t, routing.Remove())
		must(t, routing.Remove())
	})
	if after := h.run(t, showRouting); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// A rule takes effect once its interface appears.
func TestRoutingAwaitsInterfaces(t *testing.T) {
	h := newHost(t, "router")
	h.do(t, func() { must(t, testRouting("later0").Install()) })
	h.run(t, "ip link add later0 type veth peer name peer0; ip link set later0 up; ip address add 192.0.2.1/24 dev later0")
	if rules := h.run(t, "ip rule"); strings.Contains(rules, "detached") {
		t.Errorf("the interface is there and the rule not bound:\n%s", rules)
	}
	route := h.run(t, "ip route get 198.51.100.1 from 192.0.2.7 iif later0 mark 0x46000001")
	if !strings.HasPrefix(route, "local 198.51.100.1") {
		t.Errorf("a marked packet goes to %s", route)
	}
	h.run(t, "ip link del later0; ip link add later0 type veth peer name peer0")
	if repaired := verify(t, h, testRouting("later0")); repaired != nil {
		t.Errorf("the rule did not survive its interface: %q", repaired)
	}
}

// verify runs Verify as if Install had chosen the first table.
func verify(t *testing.T, h *host, routing *Routing) (repaired []string) {
	t.Helper()
	h.do(t, func() {
		var err error
		if routing.table == 0 {
			routing.table = routingTableFirst
		}
		repaired, err = routing.Verify()
		must(t, err)
	})
	return repaired
}

// What others flush is put back and told.
func TestRoutingRepairs(t *testing.T) {
	h := newHost(t, "router")
	routing := testRouting("lan0")
	h.do(t, func() { must(t, routing.Install()) })
	whole := h.run(t, showRouting)
	if repaired := verify(t, h, routing); len(repaired) != 0 {
		t.Errorf("repaired what was not broken: %q", repaired)
	}
	h.run(t, "ip rule flush; ip rule add priority 32766 lookup main; ip rule add priority 32767 lookup default; ip -6 route flush table 2121")
	want := []string{
		"ip -4 rule priority 121 iif lan0 fwmark 0x46000000/0xff000000 lookup 2121 proto 70",
		"ip -6 route local ::/0 dev lo table 2121 proto 70",
	}
	if repaired := verify(t, h, routing); !slices.Equal(repaired, want) {
		t.Errorf("repaired %q, want %q", repaired, want)
	}
	// The rules for main and default, put back by hand, bear another protocol number.
	if got := h.run(t, showRouting); len(strings.Split(got, "\n")) != len(strings.Split(whole, "\n")) {
		t.Errorf("before:\n%s\nafter:\n%s", whole, got)
	}
}

// A new configuration takes over without a gap, leftovers of a crash go.
func TestRoutingReplacesAnother(t *testing.T) {
	h := newHost(t, "router")
	h.do(t, func() { must(t, testRouting("lan0", "old0").Install()) })
	h.run(t, `ip rule add priority 77 iif left0 lookup 3000 proto 70
		ip route add local 0.0.0.0/0 dev lo table 3000 proto 70
		ip route add 192.0.2.0/24 dev lo table 2125 proto 70`)
	next := &Routing{Mark: testMark, Mask: testMask, Interfaces: []string{"lan0"}, IPv4: true}
	h.do(t, func() { must(t, next.Install()) })
	got := h.run(t, showRouting)
	for _, gone := range []string{"old0", "left0", "3000", "2125", "proto 70 metric"} {
		if strings.Contains(got, gone) {
			t.Errorf("%s is still there:\n%s", gone, got)
		}
	}
	if strings.Count(got, "iif lan0") != 1 {
		t.Errorf("want one rule for lan0:\n%s", got)
	}
	h.do(t, func() { must(t, next.Remove()) })
	if got := h.run(t, showRouting); strings.Contains(got, "proto 70") {
		t.Errorf("a trace is left:\n%s", got)
	}
}

// With every table in use by others, Install fails and changes nothing.
func TestRoutingNeedsATable(t *testing.T) {
	h := newHost(t, "router")
	h.run(t, "for table in $(seq 2121 2128); do ip route add blackhole 192.0.2.0/24 table $table; done")
	before := h.run(t, showRouting)
	h.do(t, func() {
		if err := testRouting("lan0").Install(); !errors.Is(err, ErrNoTable) {
			t.Errorf("Install: %v, want ErrNoTable", err)
		}
	})
	if after := h.run(t, showRouting); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// A host without IPv6 needs none.
func TestRoutingWithoutIPv6(t *testing.T) {
	h := newHost(t, "router")
	h.sysctl(t, "net.ipv6.conf.all.disable_ipv6", "1")
	routing := &Routing{Mark: testMark, Mask: testMask, Interfaces: []string{"lan0"}, IPv4: true}
	h.do(t, func() {
		if HasIPv6() {
			t.Error("IPv6 is said to be in use")
		}
		must(t, routing.Install())
		must(t, routing.Remove())
	})
}
