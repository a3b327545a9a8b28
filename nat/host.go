package nat

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inet6Addresses lists the IPv6 addresses of the network namespace of this thread. It
// is absent without IPv6 in the kernel and empty where IPv6 is disabled.
const inet6Addresses = "/proc/thread-self/net/if_inet6"

// HasIPv6 reports whether the host speaks IPv6 on any interface.
func HasIPv6() bool {
	addresses, err := os.ReadFile(inet6Addresses)
	return err == nil && len(bytes.TrimSpace(addresses)) > 0
}

// InterfaceName returns the name of the interface with an index.
func InterfaceName(index int) (string, error) {
	link, err := net.InterfaceByIndex(index)
	if err != nil {
		return "", fmt.Errorf("find the name of interface %d: %w", index, err)
	}
	return link.Name, nil
}

// Egress returns the interface by which packets to destination leave. A valid source
// makes rules of the kind `ip rule from` count. IPv4 tells the way of a foreign source
// only to its socket: for one, the way of the host's own packets is returned.
func Egress(destination, source netip.Addr) (interfaceName string, err error) {
	options := &netlink.RouteGetOptions{}
	if source.IsValid() {
		options.SrcAddr = source.Unmap().AsSlice()
	}
	route, err := routeTo(destination, options)
	if foreign := errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENETUNREACH); foreign && source.IsValid() {
		route, err = routeTo(destination, &netlink.RouteGetOptions{})
	}
	if err != nil {
		return "", err
	}
	return InterfaceName(route.LinkIndex)
}

// IsLocal reports whether packets to an address are delivered to this host: one of its
// addresses, or a whole network routed as local. It is what `addrtype LOCAL` matches.
func IsLocal(address netip.Addr) (bool, error) {
	route, err := routeTo(address, &netlink.RouteGetOptions{})
	for _, notLocal := range []error{
		unix.ENETUNREACH, unix.EHOSTUNREACH, // no route, or one of type unreachable
		unix.EACCES, unix.EINVAL, // types prohibit and blackhole
	} {
		if errors.Is(err, notLocal) {
			return false, nil
		}
	}
	if err != nil {
		return false, err
	}
	return route.Type == unix.RTN_LOCAL, nil
}

func routeTo(destination netip.Addr, options *netlink.RouteGetOptions) (*netlink.Route, error) {
	if zone := destination.Zone(); zone != "" {
		options.Oif = zone
	}
	routes, err := netlink.RouteGetWithOptions(destination.Unmap().AsSlice(), options)
	if err != nil {
		return nil, fmt.Errorf("find the route to %s: %w", destination, err)
	}
	if len(routes) == 0 {
		return nil, fmt.Errorf("find the route to %s: %w", destination, unix.ENETUNREACH)
	}
	return &routes[0], nil
}
