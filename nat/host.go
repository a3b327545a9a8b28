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

// Routes asks the kernel for routes and interfaces, as each session does: by sockets
// that stay open. It may be used from several goroutines.
type Routes struct {
	handle *netlink.Handle
	names  int // a socket of any kind, see netdevice(7)
}

// OpenRoutes opens the sockets, in the network namespace of the thread. The caller closes
// the Routes.
func OpenRoutes() (*Routes, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket for routes: %w", err)
	}
	if err := handle.SetSocketTimeout(netlinkTimeout); err != nil {
		handle.Close()
		return nil, fmt.Errorf("bound the wait for routes: %w", err)
	}
	names, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		handle.Close()
		return nil, fmt.Errorf("open a socket for the names of interfaces: %w", err)
	}
	return &Routes{handle, names}, nil
}

// Close closes the sockets. Nobody may ask any more.
func (r *Routes) Close() error {
	r.handle.Close()
	return unix.Close(r.names)
}

// InterfaceName returns the name of the interface with an index (netdevice(7),
// SIOCGIFNAME); net.InterfaceByIndex would list all interfaces.
func (r *Routes) InterfaceName(index int) (string, error) {
	request := struct { // struct ifreq
		name  [unix.IFNAMSIZ]byte
		index int32
		_     [20]byte
	}{index: int32(index)}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(r.names), unix.SIOCGIFNAME, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return "", fmt.Errorf("find the name of interface %d: %w", index, errno)
	}
	return unix.ByteSliceToString(request.name[:]), nil
}

// Egress returns the interface by which packets to destination leave. A valid source
// makes rules of the kind `ip rule from` count. IPv4 tells the way of a foreign source
// only to its socket: for one, the way of the host's own packets is returned. mark is that of the packets, 0: none.
func (r *Routes) Egress(destination, source netip.Addr, mark uint32) (interfaceName string, err error) {
	options := &netlink.RouteGetOptions{Mark: mark}
	if source.IsValid() {
		options.SrcAddr = source.Unmap().AsSlice()
	}
	route, err := r.routeTo(destination, options)
	if foreign := errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENETUNREACH); foreign && source.IsValid() {
		route, err = r.routeTo(destination, &netlink.RouteGetOptions{Mark: mark})
	}
	if err != nil {
		return "", err
	}
	return r.InterfaceName(route.LinkIndex)
}

// Delivery tells where packets to an address go: to this host itself, if it is one of its addresses or in a network
// routed as local, which is what `addrtype LOCAL` matches; else out by the named interface, or nowhere if it is "".
func (r *Routes) Delivery(address netip.Addr) (local bool, interfaceName string, err error) {
	route, err := r.routeTo(address, &netlink.RouteGetOptions{})
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
	interfaceName, err = r.InterfaceName(route.LinkIndex)
	return false, interfaceName, err
}

func (r *Routes) routeTo(destination netip.Addr, options *netlink.RouteGetOptions) (*netlink.Route, error) {
	if zone := destination.Zone(); zone != "" {
		options.Oif = zone
	}
	routes, err := r.handle.RouteGetWithOptions(destination.Unmap().AsSlice(), options)
	if err != nil {
		return nil, fmt.Errorf("find the route to %s: %w", destination, err)
	}
	if len(routes) == 0 {
		return nil, fmt.Errorf("find the route to %s: %w", destination, unix.ENETUNREACH)
	}
	return &routes[0], nil
}
