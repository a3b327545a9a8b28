package lab

import (
	"fmt"
	"strings"
)

// FullDescription names the host, its namespace and the addresses of its interfaces in one line.
func (h *Host) FullDescription() string {
	var links []string
	for _, link := range h.links {
		var addresses []string
		for _, p := range link.prefixes() {
			addresses = append(addresses, p.Addr().String())
		}
		links = append(links, link.Name+" "+strings.Join(addresses, " "))
	}
	return fmt.Sprintf("%-8s %-30s %s", h.Name, h.Namespace, strings.Join(links, " | "))
}

// Picture draws the lab: who sits where, with which addresses.
func (l *Lab) Picture() string {
	router, client, server := l.Host(Router), l.Host(Client), l.Host(Server)
	outside, third := l.Host(Outside), l.Host(Third)
	lan, wan := router.Link(LANInterface), router.Link(WANInterface)
	var b strings.Builder
	row := func(left, middle, right string) {
		line := fmt.Sprintf("  %-22s %-21s  %s", left, middle, right)
		fmt.Fprintln(&b, strings.TrimRight(line, " "))
	}
	inside := func(text string) string { return fmt.Sprintf("| %-17s |", text) }
	const wall = "+-------------------+"
	row("LAN "+LANNetwork, "", "Internet "+WANNetwork)
	row("    "+LANUniqueLocal+" (NAT66)", "", "         "+WANGlobalNetwork)
	row("    "+LANGlobalNetwork, wall, "")
	row(client.Name+" "+client.IPv4().String(), inside(router.Name), outside.Name+" "+outside.IPv4().String())
	row("       "+client.IPv6().String(), inside(lan.Name+" "+lan.IPv4.String()), "        "+outside.IPv6().String())
	row(server.Name+" "+server.IPv4().String(), inside(wan.Name+" "+wan.IPv4.String()), third.Name+"   "+third.IPv4().String())
	row("       "+server.IPv6().String(), wall, "        "+third.IPv6().String())
	return b.String()
}
