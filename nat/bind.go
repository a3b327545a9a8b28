package nat

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// bind holds a port by a TCP socket that is bound and never listens. Without
// SO_REUSEADDR that fails with EADDRINUSE beside any other socket on the port, be it
// bound to the wildcard address or in TIME_WAIT. The result is -1 if the address is not
// the host's: it is routed to us, and no local service can take its connections.
func bind(public netip.AddrPort) (fd int, err error) {
	address, family, err := sockaddr(public)
	if err != nil {
		return -1, err
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_TCP)
	if err != nil {
		return -1, fmt.Errorf("open a socket to hold port %d: %w", public.Port(), err)
	}
	err = unix.Bind(fd, address)
	if err == nil {
		return fd, nil
	}
	unix.Close(fd)
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return -1, nil
	}
	return -1, fmt.Errorf("hold port %d: %w", public.Port(), err)
}

func sockaddr(public netip.AddrPort) (address unix.Sockaddr, family int, err error) {
	if public.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(public.Port()), Addr: public.Addr().As4()}, unix.AF_INET, nil
	}
	zone, err := zoneIndex(public.Addr().Zone())
	if err != nil {
		return nil, 0, err
	}
	return &unix.SockaddrInet6{Port: int(public.Port()), Addr: public.Addr().As16(), ZoneId: zone}, unix.AF_INET6, nil
}

// zoneIndex returns the interface of a link-local address (RFC 4007 11.2).
func zoneIndex(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if index, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(index), nil
	}
	link, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, fmt.Errorf("find interface %s of a link-local address: %w", zone, err)
	}
	return uint32(link.Index), nil
}
