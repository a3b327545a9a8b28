//go:build kernel

package nat

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
)

// TestSteered: the kernel's own ip rules and ours send nobody by another way.
func TestSteered(t *testing.T) {
	l := newLab(t)
	is := func(want bool) {
		t.Helper()
		l.router.do(t, func() {
			must(t, withRouteSocket(func(h *netlink.Handle) error {
				got, err := steered(h)
				if got != want {
					t.Errorf("steered is %t", got)
				}
				return err
			}))
		})
	}
	is(false)
	l.router.do(t, func() { must(t, testRouting(toClient).Install()) })
	is(false)
	l.router.run(t, "ip -6 rule add from fd01::2 lookup 7")
	is(true)
}

// TestSourceToward: of two ways, the client's is taken, if one of our addresses has the same.
func TestSourceToward(t *testing.T) {
	l := newLab(t)
	l.router.run(t, `ip link add back0 type veth peer name back1; ip address add 10.9.0.1/24 dev back0; ip address add 10.9.0.3/24 dev back0
		ip -6 address add fd09::1/64 dev back0 nodad; ip link set back0 up; ip link set back1 up
		ip route add 10.2.0.0/24 via 10.9.0.2 table 7; ip -6 route add fd02::/64 via fd09::2 table 7
		ip rule add from 10.1.0.2 lookup 7; ip -6 rule add from fd01::2 lookup 7; ip rule add fwmark 5 lookup 7`)
	for _, test := range []struct {
		rule, destination, client string
		mark                      uint32
		want                      string
	}{
		{"", "10.2.0.2", "10.1.0.2", 0, ""}, // none of our addresses has the client's way
		{"ip rule add from 10.9.0.3 lookup 7; ip -6 rule add from fd09::1 lookup 7", "10.2.0.2", "10.1.0.2", 0, "10.9.0.3"},
		{"", "fd02::2", "fd01::2", 0, "fd09::1"},
		{"", "10.2.0.2", "10.1.0.3", 0, ""}, // another client
		{"", "10.2.0.2", "10.1.0.3", 5, ""}, // with the mark our own packets take the way by themselves
	} {
		if test.rule != "" {
			l.router.run(t, test.rule)
		}
		l.router.do(t, func() {
			got, err := routes(t).SourceToward(netip.MustParseAddr(test.destination), netip.MustParseAddr(test.client), toClient, test.mark)
			want, _ := netip.ParseAddr(test.want)
			if err != nil || got != want {
				t.Errorf("to %s for %s with mark %d: %s, %v, want %s", test.destination, test.client, test.mark, got, err, want)
			}
		})
	}
}

// TestMarkToward: the mark is one that makes the difference, and leads where it should.
func TestMarkToward(t *testing.T) {
	l := newLab(t)
	l.router.run(t, `ip link add back0 type veth peer name back1; ip address add 10.9.0.1/24 dev back0
		ip -6 address add fd09::1/64 dev back0 nodad; ip link set back0 up; ip link set back1 up
		ip route add default via 10.9.0.2 table 7; ip -6 route add default via fd09::2 table 7
		ip rule add fwmark 3 blackhole; ip rule add fwmark 0x47000007 lookup 7
		ip rule add fwmark 5/0xff lookup 7; ip -6 rule add fwmark 6 lookup 7`)
	for _, test := range []struct {
		destination, source, out string
		want                     uint32
	}{
		{"10.2.0.2", "10.1.0.2", toServer, 0}, // without a mark
		{"10.2.0.2", "10.1.0.2", "back0", 5},
		{"fd02::2", "fd01::2", "back0", 6},
		{"10.2.0.2", "10.1.0.2", "elsewhere0", 0}, // no mark leads there
	} {
		l.router.do(t, func() {
			got, err := routes(t).MarkToward(netip.MustParseAddr(test.destination), netip.MustParseAddr(test.source), toClient, test.out, 0xff000000)
			if err != nil || got != test.want {
				t.Errorf("from %s to %s by %s: mark %d, %v, want %d", test.source, test.destination, test.out, got, err, test.want)
			}
		})
	}
}
