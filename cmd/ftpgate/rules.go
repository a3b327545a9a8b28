package main

import (
	"slices"

	"github.com/ftpgate/ftpgate/configs"
	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/proxy/policy"
)

// The marks of ftpgate on the host: all in the top byte, the rest is left to
// others. A packet with takeMark is for one of our transparent sockets; a
// connection with holeMark is a data connection. They differ so that a host
// that copies connection marks to packets (multi-WAN, VPN) never sends data to
// the local table.
const (
	takeMark = 0x46000000
	holeMark = 0x47000000
	markMask = 0xff000000
)

// rulesOf is the configuration as the policy sees it.
func rulesOf(c *configs.Config) policy.Rules {
	rules := make(policy.Rules, len(c.Rules))
	for i, r := range c.Rules {
		rules[i] = &policy.Rule{
			Name:                  r.Name,
			Direction:             policy.Direction(r.Direction),
			Clients:               r.Clients,
			Servers:               r.Servers,
			Ports:                 r.Ports,
			Server:                r.Server,
			PreserveClientAddress: r.PreserveClientAddress,
			Active:                r.Data.Modes.Active,
			Passive:               r.Data.Modes.Passive,
			ForeignAddress:        policy.ForeignAddress(r.Data.ForeignAddress),
			ActiveSourcePort20:    r.Data.ActiveSourcePort20,
			TLS:                   policy.ClientTLS(r.TLS.Client),
			Commands:              policy.Commands{Preset: policy.Preset(r.Commands.Preset), Deny: r.Commands.Deny},
			Users:                 policy.Users{Allow: r.Users.Allow, Deny: r.Users.Deny},
			Limits:                policy.Limits(r.Limits),
			Timeouts:              policy.Timeouts(r.Timeouts),
		}
	}
	return rules
}

// frameOf is the configuration as the firewall sees it: which connections are
// taken over, and what our own need.
func frameOf(c *configs.Config, ipv6 bool) firewall.Frame {
	f := firewall.Frame{
		Mark: takeMark, PinholeMark: holeMark, Mask: markMask,
		ListenPort: c.ListenPort, IPv4: true, IPv6: ipv6,
	}
	if c.Firewall.Forwarding || c.Firewall.Masquerade {
		f.Gateway = firewall.Gateway{LAN: c.Interfaces.LAN, WAN: c.Interfaces.WAN,
			Forward: c.Firewall.Forwarding, Masquerade: c.Firewall.Masquerade}
	}
	for _, r := range c.Rules {
		if r.Direction == configs.Outbound {
			f.Takeovers = append(f.Takeovers, outbound(c, r)...)
		} else {
			f.Takeovers = append(f.Takeovers, inbound(c, r)...)
		}
		servers := serverPorts(r)
		f.ServerPorts = append(f.ServerPorts, servers...)
		if r.PreserveClientAddress {
			f.Returns = append(f.Returns, returns(c, servers)...)
		}
	}
	f.Takeovers = unique(f.Takeovers)
	f.Returns = unique(f.Returns)
	f.ServerPorts = unique(f.ServerPorts)
	return f
}

// outbound takes over what LAN clients send beyond the router. The router's
// own services on the same ports stay its own.
func outbound(c *configs.Config, r configs.Rule) (ts []firewall.Takeover) {
	for _, lan := range c.Interfaces.LAN {
		for _, port := range r.Ports {
			ts = append(ts, firewall.Takeover{Interface: lan, Port: port, Scope: firewall.RoutedOnly})
		}
	}
	return ts
}

// inbound takes over what is dialled at the router from either side (from the
// LAN: a hairpin connection), and what comes from the WAN for the server's own
// routed address or for the addresses that the rule names.
func inbound(c *configs.Config, r configs.Rule) (ts []firewall.Takeover) {
	for _, port := range r.Ports {
		sides := c.Interfaces.WAN // a LAN client reaches a routed server without us
		if !r.Routed() {
			sides = slices.Concat(c.Interfaces.LAN, c.Interfaces.WAN)
		}
		for _, name := range sides {
			if r.Servers.Any() {
				ts = append(ts, firewall.Takeover{Interface: name, Port: port, Scope: firewall.LocalOnly})
				continue
			}
			for _, network := range r.Servers {
				ts = append(ts, firewall.Takeover{Interface: name, Port: port, Scope: firewall.Network, Network: network.Masked()})
			}
		}
	}
	for _, server := range r.Server {
		own, _ := server.Addr().Prefix(server.Addr().BitLen())
		for _, wan := range c.Interfaces.WAN {
			ts = append(ts, firewall.Takeover{Interface: wan, Port: server.Port(), Scope: firewall.Network, Network: own})
		}
	}
	return ts
}

// serverPorts are the control ports at which the rule's servers listen.
func serverPorts(r configs.Rule) []uint16 {
	if r.Direction == configs.Outbound || r.Routed() {
		return r.Ports
	}
	var ports []uint16
	for _, server := range r.Server {
		ports = append(ports, server.Port())
	}
	return ports
}

// returns brings back the answers to connections that bear a client's address.
func returns(c *configs.Config, ports []uint16) (rs []firewall.Return) {
	for _, name := range slices.Concat(c.Interfaces.LAN, c.Interfaces.WAN) {
		for _, port := range ports {
			rs = append(rs, firewall.Return{Interface: name, Port: port})
		}
	}
	return rs
}

// unique drops repetitions and keeps the order.
func unique[T comparable](list []T) []T {
	seen := make(map[T]bool, len(list))
	return slices.DeleteFunc(list, func(t T) bool {
		repeated := seen[t]
		seen[t] = true
		return repeated
	})
}
