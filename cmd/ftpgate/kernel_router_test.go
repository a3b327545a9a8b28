//go:build kernel

package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

const fromNothing = "firewall: {forwarding: true, masquerade: true}\n"

// TestRouterFromNothing: a host with two interfaces and nothing else becomes the LAN's gateway, and is as it was
// afterwards.
func TestRouterFromNothing(t *testing.T) {
	r := newRouter(t, lab.Options{Bare: true})
	before := r.state()
	r.isolated(t)
	r.start(plain + fromNothing)
	if strings.Contains(r.daemon.Output(), `"finding":"forwarding"`) {
		t.Error("the log says that the host does not forward")
	}
	r.await(`"guarded":["IPv4 wan0","IPv6 wan0"]`)
	r.isGateway(t)
	r.stop()
	r.same(t, before, "SIGTERM")
	r.isolated(t)

	for _, next := range []string{plain + fromNothing, plain} {
		r.start(plain + fromNothing)
		r.daemon.Kill()
		r.guards(t) // nobody is left to close the door later
		r.start(next)
		r.stop()
		r.same(t, before, "kill -9, a new start and SIGTERM")
	}
}

// TestRouterReload: both keys take effect at a reload, both ways.
func TestRouterReload(t *testing.T) {
	r := newRouter(t, lab.Options{Bare: true})
	before := r.state()
	r.start(plain)
	without := r.state()
	for range 2 {
		r.reloadWith(t, plain+fromNothing)
		r.isGateway(t)
		r.reloadWith(t, plain+"firewall: {forwarding: true}\n")
		if seen := r.reach(t, lab.Client, "192.168.50.10", lab.Outside, "203.0.113.20"); seen != "192.168.50.10" {
			t.Errorf("without masquerading the server sees %q", seen)
		}
		r.guards(t)
		r.reloadWith(t, plain)
		// What running sessions of the former configuration might need goes at the next look.
		eventually(t, "the end of the former configuration", func() bool { return r.state() == without })
		r.isolated(t)
	}
	r.stop()
	r.same(t, before, "SIGTERM")
}

// TestRouterFlows: FTP in all flows through a router from nothing.
func TestRouterFlows(t *testing.T) {
	r := newRouter(t, lab.Options{Bare: true})
	servers := map[string]*peers.Server{
		lab.Outside: r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{}),
		lab.Server:  r.serve(peers.Pyftpdlib(), lab.Server, peers.ServerOptions{}),
	}
	for _, f := range flows {
		f.config = fromNothing
		t.Run(f.name, func(t *testing.T) { r.flow(t, f, servers[f.server]) })
	}
}

// TestRouterOfStrictHost: where the host's own firewall drops what is forwarded, the LAN gets out all the same, and what
// the host accepts and publishes on its own still comes in.
func TestRouterOfStrictHost(t *testing.T) {
	eachVariant(t, lab.Options{Filter: lab.FilterStateful, NoMasquerade: true}, func(t *testing.T, r *router) {
		before := r.state()
		if seen := r.reach(t, lab.Client, "192.168.50.10", lab.Outside, "203.0.113.20"); seen != "" {
			t.Fatal("the LAN gets out already, so this test shows nothing")
		}
		r.start(plain + fromNothing)
		r.await("the host's own rules decide")
		r.isGateway(t)
		// The user's own rules let port 80 in, and publish it as 8080.
		if seen := r.reachPort(t, lab.Outside, "2001:db8:113::20", lab.Server, "2001:db8:50::20", 80, 80); seen != "2001:db8:113::20" {
			t.Errorf("what the host accepts is seen from %q", seen)
		}
		if seen := r.reachPort(t, lab.Outside, "203.0.113.20", lab.Server, "203.0.113.1", 8080, 80); seen != "203.0.113.20" {
			t.Errorf("what the host publishes is seen from %q", seen)
		}
		r.stop()
		r.same(t, before, "SIGTERM")
	})
}

// TestRouterPublishes: on a host without a filter, what it translates to the LAN is admitted, and nothing beside.
func TestRouterPublishes(t *testing.T) {
	r := newRouter(t, lab.Options{Bare: true})
	r.run("iptables-nft", "-t", "nat", "-A", "PREROUTING", "-i", "wan0", "-p", "tcp", "--dport", "8080", "-j", "DNAT", "--to", "192.168.50.20:80")
	r.start(plain + fromNothing)
	if seen := r.reachPort(t, lab.Outside, "203.0.113.20", lab.Server, "203.0.113.1", 8080, 80); seen != "203.0.113.20" {
		t.Errorf("what the host publishes is seen from %q", seen)
	}
	if seen := r.reachPort(t, lab.Outside, "203.0.113.20", lab.Server, "192.168.50.20", 80, 80); seen != "" {
		t.Error("what is published can be reached by its own address")
	}
	r.stop()
}

// isGateway looks at everything that a LAN expects of its gateway.
func (r *router) isGateway(t *testing.T) {
	t.Helper()
	for _, way := range []struct{ source, target, seen string }{
		{"192.168.50.10", "203.0.113.20", "203.0.113.1"},
		{"fd50::10", "2001:db8:113::20", "2001:db8:113::1"},
		{"2001:db8:50::10", "2001:db8:113::20", "2001:db8:50::10"},
	} {
		if seen := r.reach(t, lab.Client, way.source, lab.Outside, way.target); seen != way.seen {
			t.Errorf("from %s to %s: seen as %q, want %q", way.source, way.target, seen, way.seen)
		}
	}
	r.guards(t)
}

// guards demands that nobody comes in from the WAN.
func (r *router) guards(t *testing.T) {
	t.Helper()
	for source, target := range map[string]string{"203.0.113.20": "192.168.50.10", "2001:db8:113::20": "2001:db8:50::10"} {
		if seen := r.reach(t, lab.Outside, source, lab.Client, target); seen != "" {
			t.Errorf("from the WAN somebody has come in to %s", target)
		}
	}
}

// isolated demands that the router forwards nothing.
func (r *router) isolated(t *testing.T) {
	t.Helper()
	for _, way := range [][4]string{
		{lab.Client, "2001:db8:50::10", lab.Outside, "2001:db8:113::20"},
		{lab.Outside, "203.0.113.20", lab.Client, "192.168.50.10"},
	} {
		if seen := r.reach(t, way[0], way[1], way[2], way[3]); seen != "" {
			t.Fatalf("%s reaches %s, so this test shows nothing", way[1], way[3])
		}
	}
}

func (r *router) same(t *testing.T, before, what string) {
	t.Helper()
	if after := r.state(); after != before {
		t.Errorf("%s left traces:\n%s", what, difference(before, after))
	}
}

// reach opens a connection between two hosts, sends something there and back, and returns as what the client is seen;
// "": it is not let through.
func (r *router) reach(t *testing.T, from, source, to, target string) (seen string) {
	t.Helper()
	return r.reachPort(t, from, source, to, target, 0, 0)
}

// reachPort is reach for a port that is dialled, and the one at which the host listens; 0: any.
func (r *router) reachPort(t *testing.T, from, source, to, target string, dialled, listening uint16) (seen string) {
	t.Helper()
	address := netip.MustParseAddr(target)
	at := netip.IPv6Unspecified()
	if address.Is4() {
		at = netip.IPv4Unspecified()
	}
	l, err := r.Host(to).Listen(t.Context(), netip.AddrPortFrom(at, listening))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	came := make(chan netip.Addr, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			came <- c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
			io.Copy(c, c)
			c.Close()
		}
	}()
	if dialled == 0 {
		dialled = l.Addr().(*net.TCPAddr).AddrPort().Port()
	}
	dialer := net.Dialer{Timeout: glance, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(source), 0))}
	var c net.Conn
	err = r.Host(from).Do(func() (err error) {
		c, err = dialer.Dial("tcp", netip.AddrPortFrom(address, dialled).String())
		return err
	})
	if err != nil {
		return ""
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	word := []byte("there and back")
	if _, err := c.Write(word); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, word); err != nil {
		t.Fatalf("from %s to %s: %v", source, target, err)
	}
	return fmt.Sprint(<-came)
}

// TestRouterSmallerWAN: the WAN carries smaller packets than the LAN, as PPPoE does, and what says so is dropped on its
// way, as firewalls do. The router itself tells both ends of a connection what fits.
func TestRouterSmallerWAN(t *testing.T) {
	r := newRouter(t, lab.Options{Bare: true})
	before := r.state()
	r.run("ip", "link", "set", lab.WANInterface, "mtu", "1492")
	for _, host := range []string{lab.Client, lab.Server, lab.Outside} {
		r.each(t, r.Host(host), []string{
			"iptables-nft -A INPUT -p icmp --icmp-type fragmentation-needed -j DROP",
			"ip6tables-nft -A INPUT -p ipv6-icmp --icmpv6-type packet-too-big -j DROP",
		})
	}
	servers := map[string]*peers.Server{
		lab.Outside: r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{Passive: passiveRange}),
		lab.Server:  r.serve(peers.Vsftpd(), lab.Server, peers.ServerOptions{Passive: passiveRange}),
	}
	r.start(plain + fromNothing)
	for _, f := range []struct{ client, dials, server string }{
		{lab.Client, "203.0.113.20:21", lab.Outside}, {lab.Client, "[2001:db8:113::20]:21", lab.Outside},
		{lab.Outside, "203.0.113.1:21", lab.Server}, {lab.Outside, "[2001:db8:113::1]:21", lab.Server},
	} {
		for _, mode := range dialogue.Modes(strings.HasPrefix(f.dials, "[")) {
			c := login(t, r.Host(f.client), f.dials, dialogue.Options{Timeout: 5 * time.Second})
			roundTrip(t, c, mode, servers[f.server])
			r.quit(t, c)
		}
	}
	r.stop()
	r.run("ip", "link", "set", lab.WANInterface, "mtu", "1500")
	r.same(t, before, "SIGTERM")
}
