package doctor

import (
	"net"
	"net/netip"
	"slices"

	"github.com/ftpgate/ftpgate/configs"
	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/nat"
)

// Backend is the packet filter that holds the pinholes, or would.
type Backend struct {
	Name    configs.Backend // nftables or iptables
	Program string          // of iptables, the variant's: "iptables-legacy"; "": nftables
	Reason  string
	Err     error // that nothing can hold them, or not all that is needed
}

// Facts are what is known of the host. What could not be found out stands in Unread, by the name of what it is.
type Facts struct {
	Path    string // of the configuration
	Config  *configs.Config
	Frame   firewall.Frame
	Running bool
	Backend Backend

	Capabilities uint64
	Links        []Link
	Ways         map[netip.Addr]string // interface that leads to an address; "": none
	Returns      map[string]string     // by WAN interface with an address: where packets from it to the Internet leave
	Settings     map[string]string     // sysctls; one that the kernel has not is absent
	Rules        []nat.HostRule
	Empty        map[int]bool // route tables without a route
	Table        error        // that no route table is free for us
	Ruleset      Ruleset
	OurTable     bool // of nftables, of this run or another
	Listeners    []net.TCPAddr
	Runner       string    // the user that runs the gateway, and how that is known
	Stranger     bool      // who asks is neither that user nor root
	Hidden       error     // of that user: it may not know which tables iptables-legacy has
	Files        []Trouble // that it cannot open
	Unread       map[string]string
}

// Trouble is a value of the configuration that is right by itself, and that the daemon cannot use.
type Trouble struct {
	Key, Path     string // of a file; "": none
	Problem, Cure string
	Unsure        bool // who asks may not know
}

// Link is a network interface.
type Link struct {
	Name      string
	Up        bool
	Bridge    bool
	Addresses []netip.Prefix
	Default   bool // a default route leaves by it
}

func (f *Facts) link(name string) *Link {
	i := slices.IndexFunc(f.Links, func(l Link) bool { return l.Name == name })
	if i < 0 {
		return nil
	}
	return &f.Links[i]
}

func (f *Facts) setting(name string) string { return f.Settings[name] }

// interfaces of the configuration.
func (f *Facts) interfaces() []string {
	return slices.Concat(f.Config.Interfaces.LAN, f.Config.Interfaces.WAN)
}

// speaks tells whether a family matters here: both sides have addresses of it that are good beyond their link.
func (f *Facts) speaks(six bool) bool {
	return (!six || f.Frame.IPv6) && f.has(f.Config.Interfaces.LAN, six) && f.has(f.Config.Interfaces.WAN, six)
}

func (f *Facts) has(names []string, six bool) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		l := f.link(name)
		return l != nil && slices.ContainsFunc(l.Addresses, func(a netip.Prefix) bool {
			return a.Addr().Is6() == six && !a.Addr().IsLinkLocalUnicast()
		})
	})
}
