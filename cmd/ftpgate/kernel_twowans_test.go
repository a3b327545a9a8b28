//go:build kernel

package main

import (
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

const twoWANs = `
interfaces: {lan: [lan0], wan: [wan0, wan1]}
log: {level: debug}
rules:
  - {name: out, direction: outbound}
  - {name: in, direction: inbound, server: 192.168.50.20}
`

// secondWAN gives the router another way to the hosts outside: wan1 with 198.51.100.1, and a table for it. Outside, what
// comes by the wrong one of the two is dropped, as a provider does.
func (r *router) secondWAN(t *testing.T) {
	t.Helper()
	outside := r.Host(lab.Outside)
	for host, lines := range map[*lab.Host][]string{
		r.Host(lab.Router): {
			"ip link add wan1 type veth peer name eth1 netns " + outside.Namespace,
			"ip address add 198.51.100.1/24 dev wan1", "ip link set wan1 up",
			"ip route add default via 203.0.113.20 dev wan0",
			"ip rule add priority 1000 from 198.51.100.1 lookup 102",
			"sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.wan1.rp_filter=0",
		},
	} {
		r.each(t, host, lines)
	}
	r.each(t, outside, []string{
		"ip address add 198.51.100.20/24 dev eth1", "ip link set eth1 up",
		"sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0 net.ipv4.conf.eth1.rp_filter=0",
		"iptables-nft -t raw -A PREROUTING -i eth0 -s 198.51.100.0/24 -j DROP",
		"iptables-nft -t raw -A PREROUTING -i eth1 -s 203.0.113.0/24 -j DROP",
	})
	r.each(t, r.Host(lab.Router), []string{"ip route add default via 198.51.100.20 dev wan1 table 102"})
}

func (r *router) each(t *testing.T, host *lab.Host, lines []string) {
	t.Helper()
	for _, line := range lines {
		words := strings.Fields(line)
		if out, err := host.Run(t.Context(), words[0], words[1:]...); err != nil {
			t.Fatal(err, out)
		}
	}
}

// TestTwoWANsOutbound: the connection to the server leaves by the way that the host's ip rules have for the client, and its
// data connections too.
func TestTwoWANsOutbound(t *testing.T) {
	for _, c := range []struct {
		name  string
		rules []string
		seen  string
		more  string // configuration
	}{
		{name: "no rule for the client", seen: "203.0.113.1"},
		{name: "by source", seen: "198.51.100.1", rules: []string{"ip rule add priority 900 from 192.168.50.10 to 203.0.113.0/24 lookup 102"}},
		{name: "by interface", seen: "198.51.100.1", rules: []string{"ip rule add priority 900 iif lan0 to 203.0.113.0/24 lookup 102"}},
		{name: "by mark", seen: "198.51.100.1", rules: []string{
			"ip rule add priority 900 fwmark 0x2/0xff to 203.0.113.0/24 lookup 102",
			"iptables-nft -t raw -A PREROUTING -i lan0 -s 192.168.50.10 -j MARK --set-xmark 0x2/0xff",
			"sysctl -qw net.ipv4.tcp_fwmark_accept=1"}},
		{name: "by mark, of mangle", more: "firewall: {backend: nftables}\n", seen: "198.51.100.1", rules: []string{
			"ip rule add priority 900 fwmark 0x2/0xff to 203.0.113.0/24 lookup 102",
			"iptables-nft -t mangle -A PREROUTING -i lan0 -s 192.168.50.10 -j MARK --set-mark 0x2",
			"sysctl -qw net.ipv4.tcp_fwmark_accept=1"}},
		{name: "by a rule for another client", seen: "203.0.113.1", rules: []string{"ip rule add priority 900 from 192.168.50.99 to 203.0.113.0/24 lookup 102"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRouter(t, lab.Options{})
			r.secondWAN(t)
			server := r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{})
			r.start(twoWANs + c.more)
			r.each(t, r.Host(lab.Router), c.rules)
			var seen string
			eventually(t, "a session by the right way", func() bool { // once the rules have been noticed
				s := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
				seen = r.seenAs(t, s)
				r.quit(t, s)
				return strings.HasPrefix(seen, c.seen+":")
			})
			for _, mode := range dialogue.Modes(false) {
				s := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
				roundTrip(t, s, mode, server)
				if seen := r.seenAs(t, s); !strings.HasPrefix(seen, c.seen+":") {
					t.Errorf("%s: the server sees %s", mode, seen)
				}
				r.quit(t, s)
			}
			r.stop()
		})
	}
}

// seenAs is the address that the server sees of a session.
func (r *router) seenAs(t *testing.T, c *dialogue.Client) string {
	t.Helper()
	for _, begun := range of(r.records(), "session started") {
		if begun.Client == c.Local().String() {
			return begun.SeenAs
		}
	}
	t.Fatal("the session has not begun")
	return ""
}

// TestTwoWANsInbound: a client is answered by the WAN by which it has come. For what is translated to the LAN the host
// itself has to remember that, as for everything that it publishes: by a connection mark, of which our bits are not. A
// server that connects to the client, in active mode, answers nobody: its connection has the mark of its session, by which
// the host leads it to the same WAN, also when ftpgate is not there any more.
func TestTwoWANsInbound(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.secondWAN(t)
	r.each(t, r.Host(lab.Router), []string{
		"iptables-nft -t mangle -A PREROUTING -i wan1 -m conntrack --ctstate NEW -j CONNMARK --set-xmark 0x2/0xff",
		"iptables-nft -t mangle -A PREROUTING -i lan0 -m connmark --mark 0x2/0xff -j MARK --set-xmark 0x2/0xff",
		"ip rule add priority 900 fwmark 0x2/0xff lookup 102",
	})
	server := r.serve(peers.Pyftpdlib(), lab.Server, peers.ServerOptions{})
	r.start(twoWANs)
	// Each from an address that the router would answer by wan0 if it went by the destination alone.
	from := dialogue.Options{Source: netip.MustParseAddrPort("203.0.113.20:0")}
	for _, dials := range []string{"203.0.113.1:21", "198.51.100.1:21"} {
		for _, mode := range dialogue.Modes(false) {
			s := login(t, r.Host(lab.Outside), dials, from)
			roundTrip(t, s, mode, server)
			r.quit(t, s)
		}
	}
	content := make([]byte, 32<<20)
	if err := server.WriteFile("large", content); err != nil {
		t.Fatal(err)
	}
	s := login(t, r.Host(lab.Outside), "198.51.100.1:21", from)
	data, err := s.Open(dialogue.PORT)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	if _, err := s.Cmd("RETR large"); err != nil {
		t.Fatal(err)
	}
	conn, err := data.Connect()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, content[:1<<20]); err != nil {
		t.Fatal(err)
	}
	r.stop()
	if n, err := io.Copy(io.Discard, conn); err != nil || n != int64(len(content)-1<<20) {
		t.Errorf("after the stop %d bytes came: %v", n, err)
	}
}
