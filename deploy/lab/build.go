package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// switchName is the namespace that holds one bridge per segment. No program runs in it.
const switchName = "switch"

// makeNamespaces makes one namespace per host and one for the switch. iproute2 does it, because it also prepares
// /run/netns as its other commands expect it.
func (l *Lab) makeNamespaces(ctx context.Context) error {
	var batch strings.Builder
	for _, p := range plans() {
		fmt.Fprintf(&batch, "netns add %s-%s\n", l.prefix, p.name)
	}
	fmt.Fprintf(&batch, "netns add %s-%s\n", l.prefix, switchName)
	if err := run(ctx, batch.String(), "ip", "-batch", "-"); err != nil {
		return fmt.Errorf("making namespaces: %w", err)
	}
	for _, p := range plans() {
		h, err := l.openHost(p.name)
		if err != nil {
			return err
		}
		h.links = p.links
		l.hosts[p.name] = h
	}
	var err error
	l.switchNS, err = l.openHost(switchName)
	return err
}

// openHost takes hold of a namespace that makeNamespaces made.
func (l *Lab) openHost(name string) (*Host, error) {
	h := &Host{Name: name, Namespace: l.prefix + "-" + name, lab: l}
	var err error
	if h.namespace, err = netns.GetFromName(h.Namespace); err != nil {
		return nil, fmt.Errorf("opening namespace %s: %w", h.Namespace, err)
	}
	return h, nil
}

// wire makes bridges, cables, addresses and routes.
func (l *Lab) wire() error {
	if err := l.makeSwitch(); err != nil {
		return fmt.Errorf("making the switch: %w", err)
	}
	for _, p := range plans() {
		if err := l.wireHost(p); err != nil {
			return fmt.Errorf("wiring %s: %w", p.name, err)
		}
	}
	return nil
}

// makeSwitch makes one bridge per segment. Nothing on the machine may filter what passes it: where br_netfilter is
// loaded, bridged frames would visit iptables and conntrack of this namespace, too.
func (l *Lab) makeSwitch() error {
	for _, key := range []string{"net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"} {
		if value, err := l.switchNS.Sysctl(key); err != nil || value == "0" {
			continue // the module is not loaded
		}
		if err := l.switchNS.SetSysctl(key, "0"); err != nil {
			return err
		}
	}
	handle, err := netlink.NewHandleAt(l.switchNS.namespace, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	defer handle.Close()
	// Without a querier, snooping may hold back the multicast that IPv6 finds its neighbours with.
	snooping := false
	for _, s := range []segment{lanSegment, wanSegment} {
		bridge := &netlink.Bridge{LinkAttrs: linkAttrs(string(s)), MulticastSnooping: &snooping}
		if err := handle.LinkAdd(bridge); err != nil {
			return fmt.Errorf("adding bridge %s: %w", s, err)
		}
		if err := handle.LinkSetUp(bridge); err != nil {
			return fmt.Errorf("setting bridge %s up: %w", s, err)
		}
	}
	return nil
}

// wireHost gives a host its interfaces, addresses and routes.
func (l *Lab) wireHost(p plan) error {
	h := l.hosts[p.name]
	if err := h.prepareSysctls(); err != nil {
		return err
	}
	handle, err := netlink.NewHandleAt(h.namespace, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	defer handle.Close()
	if err := setUp(handle, "lo"); err != nil {
		return err
	}
	for _, link := range p.links {
		if err := l.plug(handle, p.name, link); err != nil {
			return fmt.Errorf("interface %s: %w", link.Name, err)
		}
	}
	for _, r := range p.routes {
		if err := handle.RouteAdd(&netlink.Route{Dst: ipNet(r.to), Gw: r.gateway.AsSlice()}); err != nil {
			return fmt.Errorf("route to %s by %s: %w", r.to, r.gateway, err)
		}
	}
	return nil
}

// prepareSysctls makes addresses usable at once and the host silent: no duplicate address detection, no router
// solicitation. On the router it turns forwarding on, unless it is to be bare.
func (h *Host) prepareSysctls() error {
	settings := map[string]string{
		"net.ipv6.conf.default.accept_dad":           "0",
		"net.ipv6.conf.default.accept_ra":            "0",
		"net.ipv6.conf.default.router_solicitations": "0",
		"net.ipv6.conf.all.disable_ipv6":             "0",
		"net.ipv6.conf.default.disable_ipv6":         "0",
	}
	if h.Name == Router && !h.lab.options.Bare {
		settings["net.ipv4.ip_forward"] = "1"
		settings["net.ipv6.conf.all.forwarding"] = "1"
		settings["net.ipv6.conf.default.forwarding"] = "1"
	}
	return h.Do(func() error {
		for key, value := range settings {
			if err := os.WriteFile(sysctlPath(key), []byte(value), 0); err != nil {
				return fmt.Errorf("setting %s: %w", key, err)
			}
		}
		return nil
	})
}

// plug lays a cable from the host to its segment's bridge and numbers the host's end.
func (l *Lab) plug(handle *netlink.Handle, host string, link Link) error {
	attrs := linkAttrs(link.Name)
	cable := &netlink.Veth{
		LinkAttrs: attrs, PeerName: link.port(host),
		PeerNamespace: netlink.NsFd(l.switchNS.namespace),
	}
	if err := handle.LinkAdd(cable); err != nil {
		return fmt.Errorf("laying the cable: %w", err)
	}
	if err := l.attach(link.port(host), string(link.segment)); err != nil {
		return err
	}
	if err := handle.LinkSetUp(cable); err != nil {
		return fmt.Errorf("setting it up: %w", err)
	}
	for _, prefix := range link.prefixes() {
		address := &netlink.Addr{IPNet: ipNet(prefix)}
		if prefix.Addr().Is6() {
			address.Flags = unix.IFA_F_NODAD
		}
		if err := handle.AddrAdd(cable, address); err != nil {
			return fmt.Errorf("adding %s: %w", prefix, err)
		}
	}
	return nil
}

// Unplug removes an interface of a host with its cable, as a PPP link that has gone.
func (l *Lab) Unplug(host, name string) error {
	handle, err := netlink.NewHandleAt(l.Host(host).namespace, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	defer handle.Close()
	link, err := handle.LinkByName(name)
	if err == nil {
		err = handle.LinkDel(link)
	}
	if err != nil {
		return fmt.Errorf("unplugging %s of %s: %w", name, host, err)
	}
	return nil
}

// Plug makes an interface of a host anew, as it was before Unplug, with another hardware address.
func (l *Lab) Plug(host, name string) error {
	h := l.Host(host)
	handle, err := netlink.NewHandleAt(h.namespace, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	defer handle.Close()
	if err := l.plug(handle, host, h.Link(name)); err != nil {
		return fmt.Errorf("plugging %s of %s in: %w", name, host, err)
	}
	return nil
}

// attach puts the switch's end of a cable into a bridge.
func (l *Lab) attach(port, bridge string) error {
	handle, err := netlink.NewHandleAt(l.switchNS.namespace, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink in the switch: %w", err)
	}
	defer handle.Close()
	master, err := handle.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("finding bridge %s: %w", bridge, err)
	}
	end, err := handle.LinkByName(port)
	if err != nil {
		return fmt.Errorf("finding port %s: %w", port, err)
	}
	if err := handle.LinkSetMaster(end, master); err != nil {
		return fmt.Errorf("attaching %s to bridge %s: %w", port, bridge, err)
	}
	if err := handle.LinkSetUp(end); err != nil {
		return fmt.Errorf("setting port %s up: %w", port, err)
	}
	return nil
}

// setUp sets an interface that exists up.
func setUp(handle *netlink.Handle, name string) error {
	link, err := handle.LinkByName(name)
	if err != nil {
		return fmt.Errorf("finding %s: %w", name, err)
	}
	if err := handle.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting %s up: %w", name, err)
	}
	return nil
}

func linkAttrs(name string) netlink.LinkAttrs {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	return attrs
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// sysctlPath is the file of a sysctl that is written with dots.
func sysctlPath(key string) string {
	return filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/"))
}
