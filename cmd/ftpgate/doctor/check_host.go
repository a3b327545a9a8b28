package doctor

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/configs"
)

// capabilities looks at what this process may do, which is what the gateway may do if it is started likewise.
func capabilities(f *Facts) Outcome {
	o := Outcome{Saw: "CAP_NET_ADMIN, and what else this configuration needs, are there"}
	if f.Stranger {
		o.Unchecked = "who asks is not user " + f.Runner + ", and may not look; ask as root"
		return o
	}
	for _, c := range []struct {
		number int
		name   string
		needed bool
		why    string
	}{
		{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN", true, "Rules, routes and transparent sockets need it; without it most checks cannot look, either."},
		{unix.CAP_NET_RAW, "CAP_NET_RAW", f.Backend.Program != "" || f.hasLegacy(), "The programs of iptables-legacy need it to reach the kernel."},
		{unix.CAP_NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE", f.Config.ListenPort < 1024, "listen_port is below 1024."},
	} {
		if c.needed && f.Capabilities&(1<<c.number) == 0 {
			o.Findings = append(o.Findings, Finding{ID: "capability", Severity: Fails, What: c.name + " is missing", Why: c.why,
				Cure: "run ftpgate as root, or in its unit: AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE"})
		}
	}
	if f.Hidden != nil {
		o.Findings = append(o.Findings, Finding{ID: "legacy-hidden", Severity: Fails,
			What: fmt.Sprintf("User %s, may not know which tables iptables-legacy has: %v", f.Runner, f.Hidden),
			Why:  "A host that filters with iptables-legacy would look like one without rules, so the gateway does not start.",
			Cure: "run ftpgate as root, or in the group root; in its unit: SupplementaryGroups=root"})
	}
	return o
}

func (f *Facts) hasLegacy() bool {
	return slices.ContainsFunc(f.Ruleset.tables, func(t *table) bool { return strings.HasSuffix(t.program, "legacy") })
}

// interfaces looks whether those of the configuration are there, up, and have addresses.
func interfaces(f *Facts) Outcome {
	o := Outcome{Unchecked: f.Unread[unreadLinks]}
	if o.Unchecked != "" {
		return o
	}
	var saw []string
	for _, name := range f.interfaces() {
		role := "lan"
		if slices.Contains(f.Config.Interfaces.WAN, name) {
			role = "wan"
		}
		l := f.link(name)
		switch {
		case l == nil:
			o.Findings = append(o.Findings, Finding{ID: "interface-missing", Severity: Fails,
				What: fmt.Sprintf("The interface %s (%s) is not there; there are %s", name, role, f.others()),
				Why:  "Nothing is taken over there. It is served as soon as it appears; if it never does, its name is wrong.",
				Cure: fmt.Sprintf("interfaces: {%s: [...]}   # the right name, in %s", role, f.Path)})
			continue
		case !l.Up:
			o.Findings = append(o.Findings, Finding{ID: "interface-down", Severity: Fails,
				What: fmt.Sprintf("The interface %s (%s) is down", name, role), Why: "No packet passes it.", Cure: "ip link set " + name + " up"})
		case !slices.ContainsFunc([]bool{false, true}, func(six bool) bool { return f.has([]string{name}, six) }):
			o.Findings = append(o.Findings, Finding{ID: "interface-address", Severity: Fails,
				What: fmt.Sprintf("The interface %s (%s) has no address", name, role), Why: "Nobody can reach the router there, and it cannot reach anybody.",
				Cure: "ip address add ADDRESS/LENGTH dev " + name})
		}
		saw = append(saw, fmt.Sprintf("%s (%s) %s", name, role, addresses(l)))
	}
	o.Saw = strings.Join(saw, ", ")
	return o
}

func addresses(l *Link) string {
	var all []string
	for _, a := range l.Addresses {
		if !a.Addr().IsLinkLocalUnicast() {
			all = append(all, a.String())
		}
	}
	return strings.Join(all, " ")
}

func (f *Facts) others() string {
	var all []string
	for _, l := range f.Links {
		if l.Name != "lo" && !slices.Contains(f.interfaces(), l.Name) {
			all = append(all, l.Name)
		}
	}
	if len(all) == 0 {
		return "no others"
	}
	return strings.Join(all, ", ")
}

// sidesSwapped looks by which side the default route leaves.
func sidesSwapped(f *Facts) Outcome {
	o := Outcome{Unchecked: f.Unread[unreadLinks]}
	out := func(names []string) (by []string) {
		for _, n := range names {
			if l := f.link(n); l != nil && l.Default {
				by = append(by, n)
			}
		}
		return by
	}
	lan, wan := out(f.Config.Interfaces.LAN), out(f.Config.Interfaces.WAN)
	switch {
	case len(lan) > 0 && len(wan) == 0:
		o.Findings = []Finding{{ID: "sides-swapped", Severity: Fails,
			What: fmt.Sprintf("The default route leaves by %s, which the configuration has on the LAN side, and by no interface of the WAN side", lan[0]),
			Why:  "Pinholes and translations are made for the side on which an interface is: lan and wan are swapped, or the route is wrong.",
			Cure: fmt.Sprintf("interfaces: {lan: %s, wan: %s}   # in %s", names1(f.Config.Interfaces.WAN), names1(f.Config.Interfaces.LAN), f.Path)}}
	case len(wan) == 0:
		o.Saw = "no default route leaves by either side: only networks with a route of their own are reached"
	default:
		o.Saw = "the default route leaves by " + strings.Join(wan, ", ")
	}
	return o
}

func names1(list []string) string { return "[" + strings.Join(list, ", ") + "]" }

// routes looks whether the addresses of the configuration are behind the side where it has them.
func routes(f *Facts) Outcome {
	o := Outcome{Saw: "the networks and servers of the rules are behind the right side", Unchecked: f.Unread[unreadLinks]}
	if o.Unchecked != "" {
		return o
	}
	for _, r := range f.Config.Rules {
		for _, s := range r.Server {
			by, asked := f.Ways[s.Addr()]
			if asked && !slices.Contains(f.Config.Interfaces.LAN, by) && !f.isOwn(s.Addr()) && (f.speaks(s.Addr().Is6())) {
				o.Findings = append(o.Findings, Finding{ID: "server-route", Severity: Fails,
					What: fmt.Sprintf("The server %s of rule %s is %s", s.Addr(), r.Name, whither(by)),
					Why:  "Connections to it do not arrive on the LAN, where the rule has it.",
					Cure: fmt.Sprintf("ip route replace %s dev %s", s.Addr(), f.Config.Interfaces.LAN[0])})
			}
		}
		if r.Direction != configs.Outbound {
			continue
		}
		for _, n := range r.Clients {
			by, asked := f.Ways[inside(n)]
			if asked && !f.isOwn(inside(n)) && !slices.Contains(f.Config.Interfaces.LAN, by) && f.speaks(n.Addr().Is6()) {
				o.Findings = append(o.Findings, Finding{ID: "client-route", Severity: Warns,
					What: fmt.Sprintf("The clients %s of rule %s are %s", n, r.Name, whither(by)),
					Why:  "Packets to them do not leave by the LAN, where the rule has them.",
					Cure: fmt.Sprintf("ip route replace %s dev %s", n, f.Config.Interfaces.LAN[0])})
			}
		}
	}
	return o
}

func whither(by string) string {
	if by == "" {
		return "nowhere: this host has no route to it"
	}
	return "behind " + by
}
