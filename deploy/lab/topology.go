package lab

import "net/netip"

// The hosts of a lab.
const (
	Router  = "router"  // between the segments: lan0 and wan0
	Client  = "client"  // on the LAN
	Server  = "server"  // on the LAN
	Outside = "outside" // on the Internet: servers and clients
	Third   = "third"   // on the Internet: it attacks
)

// The router's interfaces, and the one of each other host.
const (
	LANInterface  = "lan0"
	WANInterface  = "wan0"
	HostInterface = "eth0"
)

// The networks of a lab. The unique local one is translated by the router (NAT66), the global one is routed.
const (
	LANNetwork       = "192.168.50.0/24"
	LANUniqueLocal   = "fd50::/64"
	LANGlobalNetwork = "2001:db8:50::/64"
	WANNetwork       = "203.0.113.0/24"
	WANGlobalNetwork = "2001:db8:113::/64"
)

// segment is an Ethernet: one bridge in the switch's namespace.
type segment string

const (
	lanSegment segment = "lan"
	wanSegment segment = "wan"
)

// Link is one interface of a host with its addresses. Addresses that it has not are zero.
type Link struct {
	Name string // of the interface, as the host sees it
	IPv4 netip.Addr
	IPv6 netip.Addr // the global one
	ULA  netip.Addr // the unique local one, on the LAN only

	segment segment
}

// prefixes lists the link's addresses with the length of their networks.
func (l Link) prefixes() []netip.Prefix {
	var all []netip.Prefix
	for _, a := range []netip.Addr{l.IPv4, l.IPv6, l.ULA} {
		switch {
		case !a.IsValid():
		case a.Is4():
			all = append(all, netip.PrefixFrom(a, 24))
		default:
			all = append(all, netip.PrefixFrom(a, 64))
		}
	}
	return all
}

// port is the name of the link's other end, which sits in the switch.
func (l Link) port(host string) string { return string(l.segment) + "-" + host }

// route leads a host to a network by the router.
type route struct {
	to      netip.Prefix
	gateway netip.Addr
}

// plan is what a host is to be.
type plan struct {
	name   string
	links  []Link
	routes []route
}

// lanLink and wanLink place a host in its segment by its last number, which reads the same in all its addresses.
func lanLink(name, number string) Link {
	return Link{
		Name: name, segment: lanSegment,
		IPv4: netip.MustParseAddr("192.168.50." + number),
		IPv6: netip.MustParseAddr("2001:db8:50::" + number),
		ULA:  netip.MustParseAddr("fd50::" + number),
	}
}

func wanLink(name, number string) Link {
	return Link{
		Name: name, segment: wanSegment,
		IPv4: netip.MustParseAddr("203.0.113." + number),
		IPv6: netip.MustParseAddr("2001:db8:113::" + number),
	}
}

// plans draws the lab: the router first, since the others' routes lead to its addresses.
func plans() []plan {
	lan, wan := lanLink(LANInterface, "1"), wanLink(WANInterface, "1")
	everywhere := []route{
		{netip.MustParsePrefix("0.0.0.0/0"), lan.IPv4},
		{netip.MustParsePrefix("::/0"), lan.IPv6},
	}
	// The Internet of the lab routes to the LAN, too: flows that nobody translates must be possible. It has no way
	// back to the unique local network, so that a missing translation shows.
	toLAN := []route{
		{netip.MustParsePrefix(LANNetwork), wan.IPv4},
		{netip.MustParsePrefix(LANGlobalNetwork), wan.IPv6},
	}
	return []plan{
		{name: Router, links: []Link{lan, wan}},
		{name: Client, links: []Link{lanLink(HostInterface, "10")}, routes: everywhere},
		{name: Server, links: []Link{lanLink(HostInterface, "20")}, routes: everywhere},
		{name: Outside, links: []Link{wanLink(HostInterface, "20")}, routes: toLAN},
		{name: Third, links: []Link{wanLink(HostInterface, "66")}, routes: toLAN},
	}
}
