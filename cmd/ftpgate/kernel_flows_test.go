//go:build kernel

package main

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

func mustAddrPort(t *testing.T, s string) netip.AddrPort {
	t.Helper()
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// flow is one way for a client to reach a server through the router.
type flow struct {
	name     string
	client   string // host
	source   string // the client's address, where it has several; "": the kernel chooses
	dials    string
	server   string // host
	preserve string // setting of the rule; "": its default
	seenAs   string // the address that the server sees
	config   string // what the configuration has beside usualRules
}

var flows = []flow{
	{name: "outbound, IPv4, translated", client: lab.Client, dials: "203.0.113.20:21", server: lab.Outside, seenAs: "203.0.113.1"},
	{name: "outbound, IPv6, translated (NAT66)", client: lab.Client, source: "fd50::10", dials: "[2001:db8:113::20]:21", server: lab.Outside, seenAs: "2001:db8:113::1"},
	{name: "outbound, IPv6, routed", client: lab.Client, source: "2001:db8:50::10", dials: "[2001:db8:113::20]:21", server: lab.Outside, preserve: "true", seenAs: "2001:db8:50::10"},
	{name: "inbound, IPv4, translated", client: lab.Outside, dials: "203.0.113.1:21", server: lab.Server, seenAs: "203.0.113.20"},
	{name: "inbound, IPv4, translated, client hidden", client: lab.Outside, dials: "203.0.113.1:21", server: lab.Server, preserve: "false", seenAs: "192.168.50.1"},
	{name: "inbound, IPv4, routed", client: lab.Outside, dials: "192.168.50.20:21", server: lab.Server, seenAs: "203.0.113.20"},
	{name: "inbound, IPv6, translated", client: lab.Outside, dials: "[2001:db8:113::1]:21", server: lab.Server, seenAs: "2001:db8:113::20"},
	{name: "inbound, IPv6, translated, client hidden", client: lab.Outside, dials: "[2001:db8:113::1]:21", server: lab.Server, preserve: "false", seenAs: "2001:db8:50::1"},
	{name: "inbound, IPv6, routed", client: lab.Outside, dials: "[2001:db8:50::20]:21", server: lab.Server, seenAs: "2001:db8:113::20"},
	{name: "hairpin, IPv4", client: lab.Client, dials: "203.0.113.1:21", server: lab.Server, seenAs: "192.168.50.1"},
	{name: "hairpin, IPv6", client: lab.Client, dials: "[2001:db8:113::1]:21", server: lab.Server, seenAs: "2001:db8:50::1"},
}

// TestFlows carries files in every direction, mode and family, translated and
// routed, through a router that drops everything else.
func TestFlows(t *testing.T) {
	for _, variant := range []lab.Variant{lab.NFT, lab.Legacy} {
		for _, filter := range []lab.Filter{lab.FilterStateful, lab.FilterBare} {
			t.Run(fmt.Sprintf("iptables %s, filter %d", variant, filter), func(t *testing.T) {
				r := newRouter(t, lab.Options{Variant: variant, Filter: filter})
				servers := map[string]*peers.Server{
					lab.Outside: r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{}),
					lab.Server:  r.serve(peers.Pyftpdlib(), lab.Server, peers.ServerOptions{}),
				}
				for _, f := range flows {
					t.Run(f.name, func(t *testing.T) { r.flow(t, f, servers[f.server]) })
				}
				for _, s := range servers {
					s.Stop()
				}
			})
		}
	}
}

func (r *router) flow(t *testing.T, f flow, s *peers.Server) {
	sub := r.in(t)
	setting := ""
	if f.preserve != "" {
		setting = ", preserve_client_address: " + f.preserve
	}
	sub.start(fmt.Sprintf(usualRules, setting, setting) + f.config)
	defer sub.stop()
	var o dialogue.Options
	if f.source != "" {
		o.Source = netip.AddrPortFrom(netip.MustParseAddr(f.source), 0)
	}
	c := login(t, r.Host(f.client), f.dials, o)
	for _, mode := range dialogue.Modes(netip.MustParseAddrPort(f.dials).Addr().Is6()) {
		roundTrip(t, c, mode, s)
	}
	if _, err := c.Want(221, "QUIT"); err != nil {
		t.Fatal(err)
	}
	sub.await(`"session ended"`)
}
