//go:build kernel

package nat

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"
)

// What a rule sends to the group is decoded, in both families; whoever comes second does
// not get it.
func TestRefused(t *testing.T) {
	const group = 7021
	l := newLab(t)
	for _, tables := range []string{"iptables", "ip6tables"} {
		l.router.run(t, fmt.Sprintf("%s -w -A INPUT -p tcp --dport 50000:50009 -j NFLOG --nflog-group %d --nflog-prefix test", tables, group))
	}
	var routes *Routes
	var refused *Refused
	l.router.do(t, func() {
		var err error
		routes, err = OpenRoutes()
		must(t, err)
		refused, err = WatchRefused(zaptest.NewLogger(t), routes, group)
		must(t, err)
		if second, err := WatchRefused(zaptest.NewLogger(t), routes, group); err == nil {
			second.Close()
			t.Error("two read the same group")
		}
	})
	defer routes.Close()
	defer refused.Close()
	begin := time.Now()
	for family, a := range families {
		t.Run(family, func(t *testing.T) {
			before := time.Now()
			to := netip.AddrPortFrom(a.routerIn, 50001)
			if _, err := l.client.dial(t, to); err == nil {
				t.Fatal("somebody listens there")
			}
			deadline := time.Now().Add(testTimeout)
			for len(refused.Since(before)) == 0 && time.Now().Before(deadline) {
				time.Sleep(time.Millisecond)
			}
			packets := refused.Since(before)
			if len(packets) == 0 {
				t.Fatal("nothing was told")
			}
			if p := packets[0]; p.Interface != toClient || p.Source.Addr() != a.client || p.Source.Port() == 0 || p.Destination != to {
				t.Errorf("told %+v", p)
			}
		})
	}
	if seen, lost := refused.Stats(); seen < 2 || lost != 0 || len(refused.Since(begin)) != int(seen) || refused.Since(time.Now()) != nil {
		t.Errorf("%d seen, %d lost", seen, lost)
	}
	must(t, refused.Close())
	must(t, refused.Close())
}

// The helper of a connection is found by the ends of the connection.
func TestHelper(t *testing.T) {
	w := newWatched(t)
	a := families["IPv4"]
	w.router.run(t, "iptables -w -t raw -A PREROUTING -p tcp --dport 2100 -j CT --helper ftp")
	for port, helper := range map[uint16]string{2100: "ftp", 2200: ""} {
		w.server.listenOn(t, netip.AddrPortFrom(a.server, port))
		to := netip.AddrPortFrom(a.routerIn, port)
		conn, err := w.client.dial(t, to)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.flows.Helper(localOf(conn), to); got != helper {
			t.Errorf("port %d has the helper %q instead of %q", port, got, helper)
		}
	}
	if got := w.flows.Helper(netip.AddrPortFrom(a.client, 1), netip.AddrPortFrom(a.server, 1)); got != "" {
		t.Errorf("no connection has the helper %q", got)
	}
}
