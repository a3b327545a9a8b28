package nat

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What is ours among ip rules and routes bears this protocol number ("F"), which
// `ip rule` and `ip route` show as `proto 70`. Nothing else is ever removed.
const routingProtocol = 70

// routingPriority puts our rules behind the local table (0) and before those of VPN
// software (tailscale 5200 and up, wg-quick just below 32766).
const routingPriority = 121

// Our routes live in the first of these tables that nobody else uses.
const (
	routingTableFirst = 2121
	routingTableLast  = 2128
)

// ErrNoTable means that others use every route table that Routing could take.
var ErrNoTable = fmt.Errorf("route tables %d to %d are in use by others", routingTableFirst, routingTableLast)

// Routing brings packets that bear Mark to this host's own sockets, whatever their
// destination: one ip rule per interface and family leads to a table in which every
// address is local. The rules name the interface because a rule on the mark alone makes
// the reverse path filter drop the packets where src_valid_mark is set. An interface
// may be missing or come later: a rule is bound by name.
//
// The fields must not change after Install. To change them, Install another Routing
// over it and forget the first: what both want stays in place throughout.
type Routing struct {
	Mark, Mask uint32
	Interfaces []string
	IPv4, IPv6 bool

	mu    sync.Mutex
	table int // 0 while not installed
}

// Install puts the rules and routes in place and removes what a crash or another
// configuration has left of ours. It takes CAP_NET_ADMIN. After an error some may be in
// place: the caller removes or installs again.
func (r *Routing) Install() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := withRouteSocket(func(h *netlink.Handle) error {
		table, err := freeTable(h)
		if err != nil {
			return err
		}
		r.table = table
		if _, err := r.complete(h); err != nil {
			return err
		}
		return removeOwn(h, r.wants)
	})
	if err != nil {
		return fmt.Errorf("install ip rules and routes: %w", err)
	}
	return nil
}

// Verify puts back what is missing of an installed Routing and tells what that was, in
// words of iproute2. Before Install and after Remove it does nothing.
func (r *Routing) Verify() (repaired []string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.table == 0 {
		return nil, nil
	}
	err = withRouteSocket(func(h *netlink.Handle) error {
		repaired, err = r.complete(h)
		return err
	})
	if err != nil {
		return repaired, fmt.Errorf("repair ip rules and routes: %w", err)
	}
	return repaired, nil
}

// Remove takes away every rule and route of ours, also such as an earlier process has
// left. It may be called at any time and again.
func (r *Routing) Remove() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.table = 0
	err := withRouteSocket(func(h *netlink.Handle) error {
		return removeOwn(h, func(routingItem) bool { return false })
	})
	if err != nil {
		return fmt.Errorf("remove ip rules and routes: %w", err)
	}
	return nil
}

// complete adds what is missing. The route comes before the rules: a rule that leads
// to an empty table would let the packets be forwarded to the client.
func (r *Routing) complete(h *netlink.Handle) (added []string, err error) {
	for _, family := range r.families() {
		present, err := ownOf(h, family, []int{r.table})
		if err != nil {
			return added, err
		}
		for _, item := range r.wanted(family) {
			if slices.ContainsFunc(present, func(o own) bool { return o.item == item }) {
				continue
			}
			if err := item.add(h); err != nil {
				return added, fmt.Errorf("add %s: %w", item, err)
			}
			added = append(added, item.String())
		}
	}
	return added, nil
}

func (r *Routing) families() (families []int) {
	if r.IPv4 {
		families = append(families, unix.AF_INET)
	}
	if r.IPv6 {
		families = append(families, unix.AF_INET6)
	}
	return families
}

func (r *Routing) wanted(family int) []routingItem {
	items := []routingItem{{family: family, table: r.table}}
	for _, name := range r.Interfaces {
		items = append(items, routingItem{
			family:   family,
			table:    r.table,
			iif:      name,
			priority: routingPriority,
			mark:     r.Mark,
			mask:     r.Mask,
		})
	}
	return items
}

func (r *Routing) wants(item routingItem) bool {
	return slices.Contains(r.families(), item.family) && slices.Contains(r.wanted(item.family), item)
}

// removeOwn removes whatever bears our protocol number, except what is kept. Rules go
// before routes, for the reason told at complete.
func removeOwn(h *netlink.Handle, keep func(routingItem) bool) error {
	var failed error
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		found, err := ownOf(h, family, candidateTables())
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
			continue // a kernel without IPv6 holds nothing of it
		}
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		for _, o := range found {
			if !keep(o.item) {
				failed = errors.Join(failed, o.remove(h))
			}
		}
	}
	return failed
}

func candidateTables() (tables []int) {
	for table := routingTableFirst; table <= routingTableLast; table++ {
		tables = append(tables, table)
	}
	return tables
}

// freeTable returns the first candidate in which nobody else has a route and to which
// nobody else's rule leads.
func freeTable(h *netlink.Handle) (int, error) {
	foreign := map[int]bool{}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		rules, err := listRules(h, family)
		if err != nil {
			return 0, err
		}
		for _, rule := range rules {
			foreign[rule.Table] = foreign[rule.Table] || rule.Protocol != routingProtocol
		}
		for _, table := range candidateTables() {
			routes, err := listRoutes(h, family, table)
			if err != nil {
				return 0, err
			}
			for _, route := range routes {
				foreign[table] = foreign[table] || route.Protocol != routingProtocol
			}
		}
	}
	for _, table := range candidateTables() {
		if !foreign[table] {
			return table, nil
		}
	}
	return 0, ErrNoTable
}

// withRouteSocket runs f on a netlink socket of the present network namespace.
func withRouteSocket(f func(*netlink.Handle) error) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	defer h.Close()
	if err := h.SetSocketTimeout(netlinkTimeout); err != nil {
		return fmt.Errorf("bound the netlink socket: %w", err)
	}
	return f(h)
}

// anywhere is the network that holds every address of a family.
func anywhere(family int) *net.IPNet {
	if family == unix.AF_INET {
		return &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	}
	return &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
}
