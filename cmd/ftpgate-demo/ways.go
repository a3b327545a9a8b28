package main

import (
	"net/netip"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
)

// controlPort is where FTP servers listen (RFC 959 §3.2).
const controlPort = 21

// config is the daemon's configuration, with %s for its backend. The last numbers of addresses name the hosts: 10 client, 20 server or outside.
const config = `interfaces: {lan: [lan0], wan: [wan0]}
log: {level: debug}
firewall: {backend: %s}
rules:
  - name: transparent                  # servers see who the client is: nothing is translated
    direction: outbound
    clients: [192.168.50.20, "2001:db8:50::/64"]
    preserve_client_address: true
  - name: office                       # every other LAN client: servers see the router
    direction: outbound
  - name: public                       # the LAN's server, by the router's address or by its own
    direction: inbound
    server: [192.168.50.20:21, "[2001:db8:50::20]:21"]
`

// way is one way for a client to reach a server through the router. Each is gone in every mode that its family has.
type way struct {
	name       string
	client     string // host
	source     string // the client's address; "": it has one of the family
	dials      string // what the client connects to
	server     string // host
	seenAs     string // the client as its server sees it
	translated bool   // data connections are, by DNAT or SNAT
}

var ways = []way{
	{"outbound IPv4, masqueraded", lab.Client, "", "203.0.113.20", lab.Outside, "203.0.113.1", true},
	{"outbound IPv4, routed", lab.Server, "", "203.0.113.20", lab.Outside, "192.168.50.20", false},
	{"outbound IPv6, NAT66", lab.Client, "fd50::10", "2001:db8:113::20", lab.Outside, "2001:db8:113::1", true},
	{"outbound IPv6, routed", lab.Client, "2001:db8:50::10", "2001:db8:113::20", lab.Outside, "2001:db8:50::10", false},
	{"inbound IPv4, translated", lab.Outside, "", "203.0.113.1", lab.Server, "203.0.113.20", true},
	{"inbound IPv4, routed", lab.Outside, "", "192.168.50.20", lab.Server, "203.0.113.20", false},
	{"inbound IPv6, translated", lab.Outside, "", "2001:db8:113::1", lab.Server, "2001:db8:113::20", true},
	{"inbound IPv6, routed", lab.Outside, "", "2001:db8:50::20", lab.Server, "2001:db8:113::20", false},
	{"hairpin IPv4", lab.Client, "", "203.0.113.1", lab.Server, "192.168.50.1", true},
	{"hairpin IPv6", lab.Client, "2001:db8:50::10", "2001:db8:113::1", lab.Server, "2001:db8:50::1", true},
}

// target is what the client dials.
func (w way) target() netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(w.dials), controlPort)
}

// from is the client's own address; zero leaves it to the kernel.
func (w way) from() netip.AddrPort {
	if w.source == "" {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.MustParseAddr(w.source), 0)
}

func (w way) six() bool { return w.target().Addr().Is6() }

func (w way) modes() []dialogue.Mode { return dialogue.Modes(w.six()) }
