package nat

import (
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// netlinkTimeout bounds the wait for each answer of the kernel.
const netlinkTimeout = 2 * time.Second

// maxDumpAttempts bounds how often a dump is asked for that a change has interrupted.
const maxDumpAttempts = 5

// loopback is the interface on which local routes lie; its index is 1 in every
// network namespace.
const (
	loopback      = "lo"
	loopbackIndex = 1
)

// routingItem is a rule or, without an interface, the route of a table. It is
// comparable: what the host has is set against what should be there.
type routingItem struct {
	family, table int
	iif           string
	priority      int
	mark, mask    uint32
}

// String writes the item as iproute2 takes it.
func (i routingItem) String() string {
	version, everything := "-4", "0.0.0.0/0"
	if i.family == unix.AF_INET6 {
		version, everything = "-6", "::/0"
	}
	if i.isRoute() {
		return fmt.Sprintf("ip %s route local %s dev %s table %d proto %d",
			version, everything, loopback, i.table, routingProtocol)
	}
	return fmt.Sprintf("ip %s rule priority %d iif %s fwmark %#x/%#x lookup %d proto %d",
		version, i.priority, i.iif, i.mark, i.mask, i.table, routingProtocol)
}

func (i routingItem) isRoute() bool { return i.iif == "" }

func (i routingItem) add(h *netlink.Handle) error {
	if i.isRoute() {
		return h.RouteAdd(i.route())
	}
	return h.RuleAdd(i.rule())
}

func (i routingItem) route() *netlink.Route {
	return &netlink.Route{
		Family:    i.family,
		LinkIndex: loopbackIndex,
		Scope:     netlink.SCOPE_HOST,
		Dst:       anywhere(i.family),
		Table:     i.table,
		Type:      unix.RTN_LOCAL,
		Protocol:  routingProtocol,
	}
}

func (i routingItem) rule() *netlink.Rule {
	rule := netlink.NewRule()
	rule.Family = i.family
	rule.Priority = i.priority
	rule.Protocol = routingProtocol
	rule.Table = i.table
	rule.IifName = i.iif
	rule.Mark = i.mark
	rule.Mask = &i.mask
	return rule
}

// own is a rule or route on the host that bears our protocol number.
type own struct {
	item  routingItem
	rule  *netlink.Rule // one of these two, as the host has it
	route *netlink.Route
}

func ownRule(rule netlink.Rule) own {
	item := routingItem{
		family:   rule.Family,
		table:    rule.Table,
		iif:      rule.IifName,
		priority: rule.Priority,
		mark:     rule.Mark,
	}
	if rule.Mask != nil {
		item.mask = *rule.Mask
	}
	return own{item: item, rule: &rule}
}

func ownRoute(family int, route netlink.Route) own {
	item := routingItem{family: family, table: route.Table}
	if like := item.route(); route.Type != like.Type || route.Dst == nil || route.Dst.String() != like.Dst.String() {
		item.table = 0 // something of an earlier version: not what anyone wants now
	}
	return own{item: item, route: &route}
}

// remove takes the rule or route away. It is no error if it has gone already.
func (o own) remove(h *netlink.Handle) (err error) {
	if o.rule != nil {
		err = h.RuleDel(o.rule)
	} else {
		err = h.RouteDel(o.route)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("remove %s: %w", o.item, err)
	}
	return nil
}

// ownOf returns what bears our protocol number: all rules, before the routes of the
// given tables and of those to which our rules lead.
func ownOf(h *netlink.Handle, family int, tables []int) (found []own, err error) {
	rules, err := listRules(h, family)
	if err != nil {
		return nil, err
	}
	looked := map[int]bool{}
	for _, table := range tables {
		looked[table] = true
	}
	for _, rule := range rules {
		if rule.Protocol == routingProtocol {
			found = append(found, ownRule(rule))
			looked[rule.Table] = true
		}
	}
	for table := range looked {
		routes, err := listRoutes(h, family, table)
		if err != nil {
			return nil, err
		}
		for _, route := range routes {
			if route.Protocol == routingProtocol {
				found = append(found, ownRoute(family, route))
			}
		}
	}
	return found, nil
}

func listRules(h *netlink.Handle, family int) ([]netlink.Rule, error) {
	rules, err := dump(func() ([]netlink.Rule, error) { return h.RuleList(family) })
	if err != nil {
		return nil, fmt.Errorf("list ip rules: %w", err)
	}
	return rules, nil
}

// listRoutes lets the kernel pick the table: without strict checking, a router with a
// full view of the Internet would send a million routes. Kernels before 4.20 do not
// know it and send them; netlink picks again anyway.
func listRoutes(h *netlink.Handle, family, table int) ([]netlink.Route, error) {
	_ = h.SetStrictCheck(true)
	defer h.SetStrictCheck(false) // the library's request for rules does not pass it
	routes, err := dump(func() ([]netlink.Route, error) {
		return h.RouteListFiltered(family, &netlink.Route{Table: table}, netlink.RT_FILTER_TABLE)
	})
	if errors.Is(err, unix.ENOENT) {
		return nil, nil // a table without routes does not exist
	}
	if err != nil {
		return nil, fmt.Errorf("list the routes of table %d: %w", table, err)
	}
	return routes, nil
}

// dump repeats a listing while changes interrupt it.
func dump[T any](list func() ([]T, error)) (items []T, err error) {
	for range maxDumpAttempts {
		if items, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return items, err
		}
	}
	return items, err
}
