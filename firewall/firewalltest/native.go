//go:build kernel

package firewalltest

import (
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"strings"
)

// nativeHost is written by nft, as one table for both families.
type nativeHost struct{ *lab }

const denying = `
table inet host
delete table inet host
table inet host {
	chain forward {
		type filter hook forward priority filter; policy drop;
	}
	chain input {
		type filter hook input priority filter; policy drop;
		meta l4proto ipv6-icmp accept
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		oifname "` + wan + `" masquerade
	}
}
`

func (h nativeHost) write(script string) {
	h.Helper()
	h.in(h.router, script, func() error {
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader(script)
		return cmd.Run()
	})
}

func (h nativeHost) deny() { h.write(denying) }
func (h nativeHost) admitEstablished() {
	h.write("add rule inet host forward ct state established accept")
}
func (h nativeHost) text() string {
	return h.output("reading the rules", "nft", "-s", "list", "ruleset")
}
func (h nativeHost) snapshot() string { return h.text() }

// ensureDenied leaves what is there: a native host is damaged together with its rules, or not at all.
func (h nativeHost) ensureDenied() {}

func (h nativeHost) misdirect(to netip.Addr) {
	family := "ip6"
	if h.four {
		family = "ip"
	}
	h.write("table " + family + " elsewhere { chain prerouting { type nat hook prerouting priority dstnat; policy accept; " +
		`iifname "` + lan + `" meta l4proto tcp dnat to ` + to.String() + "; }; }")
}

func (h nativeHost) dropBefore(to netip.AddrPort) {
	family := "ip6"
	if h.four {
		family = "ip"
	}
	h.write(fmt.Sprintf("insert rule inet host forward %s daddr %s tcp dport %d drop", family, to.Addr(), to.Port()))
}

func (h nativeHost) dropLast(to netip.AddrPort) (undo func()) {
	family := "ip6"
	if h.four {
		family = "ip"
	}
	h.write(fmt.Sprintf("add rule inet host forward %s daddr %s tcp dport %d drop comment \"the last\"", family, to.Addr(), to.Port()))
	return func() {
		list := h.output("listing", "nft", "-a", "list", "chain", "inet", "host", "forward")
		for _, m := range regexp.MustCompile(`comment "the last" # handle (\d+)`).FindAllStringSubmatch(list, -1) {
			h.write("delete rule inet host forward handle " + m[1])
		}
	}
}

func (h nativeHost) furnish() {
	h.write(`
table ip friend {
	map fates { type inet_service : verdict; elements = { 7 : drop, 80 : accept }; }
	chain friend { tcp dport vmap @fates; }
	chain forward { type filter hook forward priority 10; policy accept; tcp flags syn tcp option maxseg size set rt mtu; jump friend; }
	chain input { type filter hook input priority 10; policy accept; counter; }
	chain nat { type nat hook prerouting priority dstnat; tcp dport 8080 redirect to :80; }
}
table ip6 friend {
	chain forward { type filter hook forward priority 10; policy accept; udp dport 9 reject; }
	chain marking { type filter hook prerouting priority mangle; tcp dport 22 meta mark set 3; }
}
`)
}

var ourLine = regexp.MustCompile(`comment "ftpgate: .*# handle (\d+)`)

func (h nativeHost) damages() []damage {
	return []damage{
		{"the ruleset loaded anew", func() { h.write("flush ruleset\n" + denying) }},
		{"the host's table loaded anew", h.deny},
		{"our lines deleted", func() {
			for _, chain := range []string{"forward", "input"} {
				for _, m := range ourLine.FindAllStringSubmatch(h.output("listing", "nft", "-a", "list", "chain", "inet", "host", chain), -1) {
					h.write("delete rule inet host " + chain + " handle " + m[1])
				}
			}
		}},
		{"a line more", func() { h.write(`insert rule inet host forward counter comment "ftpgate: a line more"`) }},
	}
}
