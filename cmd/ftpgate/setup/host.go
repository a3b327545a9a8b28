// Package setup proposes a configuration for a host: which interfaces are the
// LAN and which the Internet, and the rules for the usual cases. It looks and
// writes text; it changes nothing.
package setup

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// Interface is one of the host, as far as its side can be told from it.
type Interface struct {
	Name         string
	Up           bool
	DefaultRoute bool           // a default route of either family leaves by it
	Addresses    []netip.Prefix // without link-local ones
}

// Private tells whether it has an address that the Internet does not route
// (RFC 1918, RFC 4193, RFC 6598). Beside it a LAN may have public ones of IPv6.
func (i Interface) Private() bool {
	return slices.ContainsFunc(i.Addresses, func(p netip.Prefix) bool { return private(p.Addr()) })
}

var shared = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

func private(a netip.Addr) bool { return a.IsPrivate() || shared.Contains(a) }

// Look lists the host's interfaces, without loopback.
func Look() ([]Interface, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing the interfaces: %w", err)
	}
	leaves, err := defaultRoutes()
	if err != nil {
		return nil, err
	}
	var all []Interface
	for _, l := range links {
		a := l.Attrs()
		if a.Flags&net.FlagLoopback != 0 {
			continue
		}
		addresses, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			return nil, fmt.Errorf("listing the addresses of %s: %w", a.Name, err)
		}
		i := Interface{Name: a.Name, Up: a.Flags&net.FlagUp != 0, DefaultRoute: leaves[a.Index]}
		for _, one := range addresses {
			ip, ok := netip.AddrFromSlice(one.IP)
			if ip = ip.Unmap(); !ok || ip.IsLinkLocalUnicast() {
				continue
			}
			bits, _ := one.Mask.Size()
			i.Addresses = append(i.Addresses, netip.PrefixFrom(ip, bits))
		}
		all = append(all, i)
	}
	return all, nil
}

// defaultRoutes are the indices of the interfaces by which one leaves. The
// kernel lists them alone, however many routes there are.
func defaultRoutes() (map[int]bool, error) {
	leaves := make(map[int]bool)
	for family, all := range map[int]string{netlink.FAMILY_V4: "0.0.0.0/0", netlink.FAMILY_V6: "::/0"} {
		_, everything, _ := net.ParseCIDR(all) // both are good
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{Dst: everything}, netlink.RT_FILTER_DST)
		if err != nil {
			return nil, fmt.Errorf("listing the default routes: %w", err)
		}
		for _, r := range routes {
			leaves[r.LinkIndex] = true
			for _, hop := range r.MultiPath {
				leaves[hop.LinkIndex] = true
			}
		}
	}
	return leaves, nil
}
