package nat

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// RoutingPriority is that of our ip rules; a rule of somebody else with a smaller one is asked before them.
const RoutingPriority = routingPriority

// tcpListen is the state of a socket that listens (tcp_states.h, TCP_LISTEN).
const tcpListen = 10

// HostRule is an ip rule as the host has it.
type HostRule struct {
	netlink.Rule
	IPv6 bool
	Ours bool
}

// HostRules lists the ip rules of both families.
func HostRules() (rules []HostRule, err error) {
	err = withRouteSocket(func(h *netlink.Handle) error {
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			found, err := listRules(h, family)
			if err != nil {
				if family == unix.AF_INET6 && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP)) {
					continue
				}
				return err
			}
			for _, r := range found {
				rules = append(rules, HostRule{Rule: r, IPv6: family == unix.AF_INET6, Ours: r.Protocol == routingProtocol})
			}
		}
		return nil
	})
	return rules, err
}

// FreeTable returns the route table that Install would take now, or ErrNoTable.
func FreeTable() (table int, err error) {
	err = withRouteSocket(func(h *netlink.Handle) error {
		table, err = freeTable(h)
		return err
	})
	return table, err
}

// HasRoutes tells whether a table has any route of the family.
func HasRoutes(ipv6 bool, table int) (has bool, err error) {
	family := unix.AF_INET
	if ipv6 {
		family = unix.AF_INET6
	}
	err = withRouteSocket(func(h *netlink.Handle) error {
		routes, err := listRoutes(h, family, table)
		has = len(routes) > 0
		return err
	})
	return has, err
}

// Listeners returns the addresses and ports at which TCP sockets of this host listen, of both families.
func Listeners() (at []net.TCPAddr, err error) {
	h, err := netlink.NewHandle(unix.NETLINK_INET_DIAG)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket for the host's sockets: %w", err)
	}
	defer h.Close()
	if err := h.SetSocketTimeout(netlinkTimeout); err != nil {
		return nil, fmt.Errorf("bound the wait for the host's sockets: %w", err)
	}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		sockets, err := dump(func() ([]*netlink.Socket, error) { return h.SocketDiagTCP(family) })
		if err != nil {
			return nil, fmt.Errorf("list the host's sockets: %w", err)
		}
		for _, s := range sockets {
			if s.State == tcpListen {
				at = append(at, net.TCPAddr{IP: s.ID.Source, Port: int(s.ID.SourcePort)})
			}
		}
	}
	return at, nil
}
