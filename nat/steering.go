package nat

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Steering: a host with several WANs may send each client by another one, by ip rules that go by the client's address, its
// interface or a mark of its packets. Our own connection to a server, which a client's data connection is to follow, has
// none of these by itself.

// MarkOf returns the mark of an accepted connection. The kernel takes it from the client's SYN if
// net.ipv4.tcp_fwmark_accept is set; else it is 0.
func MarkOf(accepted *net.TCPConn) (mark uint32, err error) {
	raw, err := accepted.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("find the mark of a connection: %w", err)
	}
	err = control(raw, func(fd int) error {
		value, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK)
		mark = uint32(value)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("find the mark of a connection: %w", err)
	}
	return mark, nil
}

// SourceToward returns the address of this host from which a connection to destination leaves by the way that packets
// take which come from client by the interface via with the mark; zero: that is the way of the host's own packets, or
// none of the host's addresses would take the client's.
func (r *Routes) SourceToward(destination, client netip.Addr, via string, mark uint32) (netip.Addr, error) {
	theirs, err := r.routeTo(destination, &netlink.RouteGetOptions{SrcAddr: client.Unmap().AsSlice(), Iif: via, Mark: mark})
	if err != nil {
		return netip.Addr{}, err
	}
	ours, err := r.routeTo(destination, &netlink.RouteGetOptions{Mark: mark})
	if err == nil && ours.LinkIndex == theirs.LinkIndex && ours.Gw.Equal(theirs.Gw) {
		return netip.Addr{}, nil
	}
	family := netlink.FAMILY_V6
	if destination.Unmap().Is4() {
		family = netlink.FAMILY_V4
	}
	link := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: theirs.LinkIndex}}
	addresses, err := dump(func() ([]netlink.Addr, error) { return r.handle.AddrList(link, family) })
	if err != nil {
		return netip.Addr{}, fmt.Errorf("list the addresses of interface %d: %w", theirs.LinkIndex, err)
	}
	for _, a := range addresses {
		source, ok := netip.AddrFromSlice(a.IP)
		if !ok || a.Scope != unix.RT_SCOPE_UNIVERSE || a.Flags&(unix.IFA_F_DEPRECATED|unix.IFA_F_TENTATIVE) != 0 {
			continue
		}
		source = source.Unmap()
		back, err := r.routeTo(destination, &netlink.RouteGetOptions{SrcAddr: source.AsSlice(), Mark: mark})
		if err == nil && back.LinkIndex == theirs.LinkIndex {
			return source, nil
		}
	}
	return netip.Addr{}, nil
}

// MarkToward returns the mark by which packets from source that arrive by the interface in leave for destination by the
// interface out, of the marks that the host's ip rules go by; 0: they do so without one, or no mark makes them. Bits of not are
// none of the host's.
func (r *Routes) MarkToward(destination, source netip.Addr, in, out string, not uint32) (mark uint32, err error) {
	leaves := func(mark uint32) bool {
		route, err := r.routeTo(destination, &netlink.RouteGetOptions{SrcAddr: source.Unmap().AsSlice(), Iif: in, Mark: mark})
		if err != nil {
			return false // no way at all, or a rule that forbids it
		}
		name, err := r.InterfaceName(route.LinkIndex)
		return err == nil && name == out
	}
	if leaves(0) {
		return 0, nil
	}
	family := unix.AF_INET6
	if destination.Unmap().Is4() {
		family = unix.AF_INET
	}
	rules, err := listRules(r.handle, family)
	if err != nil {
		return 0, err
	}
	for _, rule := range rules {
		if rule.Mark != 0 && rule.Mark&not == 0 && leaves(rule.Mark) {
			return rule.Mark, nil
		}
	}
	return 0, nil
}

// bindSource prepares a socket that will bear one of this host's addresses: the port is chosen when it connects, and may
// be shared by connections to different servers.
func bindSource(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil && !errors.Is(err, syscall.ENOPROTOOPT) {
		return fmt.Errorf("leave the source port open: %w", err)
	}
	return nil
}

// steered tells whether the host has ip rules beside the kernel's own and ours.
func steered(h *netlink.Handle) (bool, error) {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		rules, err := listRules(h, family)
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
			continue
		}
		if err != nil {
			return false, err
		}
		for _, rule := range rules {
			if rule.Protocol != routingProtocol && rule.Protocol != unix.RTPROT_KERNEL {
				return true, nil
			}
		}
	}
	return false, nil
}
