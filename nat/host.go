package nat

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"unsafe"

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

// InterfaceName returns the name of the interface with an index. It is asked for with each session, and the kernel has an
// answer for just that (netdevice(7), SIOCGIFNAME); net.InterfaceByIndex lists all interfaces.
func InterfaceName(index int) (string, error) {
	name, err := interfaceName(index)
	if err != nil {
		return "", fmt.Errorf("find the name of interface %d: %w", index, err)
	}
	return name, nil
}

func interfaceName(index int) (string, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	request := struct { // struct ifreq
		name  [unix.IFNAMSIZ]byte
		index int32
		_     [20]byte
	}{index: int32(index)}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCGIFNAME, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return "", errno
	}
	return unix.ByteSliceToString(request.name[:]), nil
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

// Delivery tells where packets to an address go: to this host itself, if it is one of its addresses or in a network
// routed as local, which is what `addrtype LOCAL` matches; else out by the named interface, or nowhere if it is "".
func Delivery(address netip.Addr) (local bool, interfaceName string, err error) {
	route, err := routeTo(address, &netlink.RouteGetOptions{})
	for _, nowhere := range []error{
		unix.ENETUNREACH, unix.EHOSTUNREACH, // no route, or one of type unreachable
		unix.EACCES, unix.EINVAL, // types prohibit and blackhole
	} {
		if errors.Is(err, nowhere) {
			return false, "", nil
		}
	}
	if err != nil {
		return false, "", err
	}
	if route.Type == unix.RTN_LOCAL {
		return true, "", nil
	}
	interfaceName, err = InterfaceName(route.LinkIndex)
	return false, interfaceName, err
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
