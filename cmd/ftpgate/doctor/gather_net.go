package doctor

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/nat"
)

// anyone are addresses on the Internet, to ask for the way to them; nothing is sent there.
var anyone = map[bool]netip.Addr{false: netip.MustParseAddr("192.88.99.1"), true: netip.MustParseAddr("2002:c058:6301::")}

// readLinks reads interfaces, addresses and default routes.
func (f *Facts) readLinks() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("listing the interfaces: %w", err)
	}
	all, err := netlink.AddrList(nil, netlink.FAMILY_ALL) // at once: a router may have a thousand VLANs
	if err != nil {
		return fmt.Errorf("listing the addresses: %w", err)
	}
	at := map[int][]netip.Prefix{}
	for _, a := range all {
		if address, ok := netip.AddrFromSlice(a.IP); ok {
			ones, _ := a.Mask.Size()
			at[a.LinkIndex] = append(at[a.LinkIndex], netip.PrefixFrom(address.Unmap(), ones))
		}
	}
	for _, l := range links {
		f.Links = append(f.Links, Link{Name: l.Attrs().Name, Up: l.Attrs().Flags&unix.IFF_UP != 0, Bridge: l.Type() == "bridge",
			Addresses: at[l.Attrs().Index]})
	}
	return f.readWays()
}

// readWays asks where packets go: to the Internet, and to the addresses that the configuration names.
func (f *Facts) readWays() error {
	routes, err := nat.OpenRoutes()
	if err != nil {
		return err
	}
	defer routes.Close()
	f.Ways, f.Returns = map[netip.Addr]string{}, map[string]string{}
	ask := func(to netip.Addr) string {
		local, by, err := routes.Delivery(to)
		if local || err != nil {
			return ""
		}
		return by
	}
	for _, a := range anyone {
		if l := f.link(ask(a)); l != nil {
			l.Default = true
		}
	}
	for _, r := range f.Config.Rules {
		for _, s := range r.Server {
			f.Ways[s.Addr()] = ask(s.Addr())
		}
		for _, n := range slices.Concat(r.Clients, r.Servers) {
			if n.Bits() > 0 {
				f.Ways[inside(n)] = ask(inside(n))
			}
		}
	}
	for _, name := range f.Config.Interfaces.WAN {
		l := f.link(name)
		if l == nil {
			continue
		}
		for _, a := range l.Addresses {
			if !a.Addr().Is4() {
				continue
			}
			by, err := routes.Egress(anyone[false], a.Addr(), 0)
			if err == nil {
				f.Returns[name] = by
			}
		}
	}
	return nil
}

// inside is an address of the network that may be a host's.
func inside(n netip.Prefix) netip.Addr {
	if a := n.Masked().Addr(); n.IsSingleIP() {
		return a
	}
	return n.Masked().Addr().Next()
}

func (f *Facts) readRouting() (err error) {
	if f.Rules, err = nat.HostRules(); err != nil {
		return err
	}
	if _, err := nat.FreeTable(); errors.Is(err, nat.ErrNoTable) {
		f.Table = err
	}
	f.Empty = map[int]bool{}
	for _, r := range f.Rules {
		if r.Ours || r.Table == unix.RT_TABLE_LOCAL || r.Table == 0 {
			continue
		}
		has, err := nat.HasRoutes(r.IPv6, r.Table)
		if err != nil {
			return err
		}
		f.Empty[r.Table] = f.Empty[r.Table] || !has
	}
	return nil
}
