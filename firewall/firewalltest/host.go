//go:build kernel

package firewalltest

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
)

// hostRules is the router's own packet filter, written as its administrator does.
type hostRules interface {
	// deny is the host of the issue: nothing passes, the LAN is masqueraded.
	deny()
	// ensureDenied puts back what another program took of deny.
	ensureDenied()
	admitEstablished()
	// furnish adds rules of all sorts that do nothing to the connections of the tests.
	furnish()
	// misdirect leads every TCP connection that comes by the LAN elsewhere.
	misdirect(to netip.Addr)
	// dropBefore drops what is forwarded to a destination before any other rule sees it.
	dropBefore(to netip.AddrPort)
	// dropLast does so behind all other rules. undo removes the rule.
	dropLast(to netip.AddrPort) (undo func())
	// damages are what another program may do to our rules among the host's.
	damages() []damage
	// text is everything, as the administrator's program prints it.
	text() string
	// snapshot is text without what changes by itself. Of iptables-legacy empty tables are left out: it cannot unmake them.
	snapshot() string
}

type damage struct {
	name string
	do   func()
}

func (l *lab) hostOf(program string) hostRules {
	if program == "nft" {
		return nativeHost{l}
	}
	return iptablesHost{l, program}
}

// iptablesHost is written by iptables-nft or iptables-legacy.
type iptablesHost struct {
	*lab
	name string
}

// program is the name of a program of the host's iptables for the family of the lab: program("-save").
func (h iptablesHost) program(suffix string) string {
	name := h.name
	if !h.four {
		name = strings.Replace(name, "iptables", "ip6tables", 1)
	}
	return name + suffix
}

func (h iptablesHost) write(args string) {
	h.Helper()
	h.output(args, h.program(""), append([]string{"-w", "5"}, strings.Fields(args)...)...)
}

func (h iptablesHost) deny() {
	h.Helper()
	h.ensureDenied()
	h.write("-t nat -A POSTROUTING -o " + wan + " -j MASQUERADE")
}

func (h iptablesHost) ensureDenied() {
	h.Helper()
	h.write("-P FORWARD DROP")
	h.write("-P INPUT DROP")
	if !h.four {
		h.write("-A INPUT -p icmpv6 -j ACCEPT") // neighbour discovery, which IPv4 has beside IP
	}
}

func (h iptablesHost) admitEstablished() {
	h.write("-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT")
}

func (h iptablesHost) dropBefore(to netip.AddrPort) {
	h.write(fmt.Sprintf("-I FORWARD -d %s -p tcp --dport %d -j DROP", to.Addr(), to.Port()))
}

func (h iptablesHost) dropLast(to netip.AddrPort) (undo func()) {
	rule := fmt.Sprintf(" FORWARD -d %s -p tcp --dport %d -j DROP", to.Addr(), to.Port())
	h.write("-A" + rule)
	return func() { h.write("-D" + rule) }
}

func (h iptablesHost) furnish() {
	h.write("-N FRIEND")
	h.write("-A FORWARD -i " + lan + " -m comment --comment a\"quoted -j FRIEND")
	h.write("-A FRIEND -p tcp --dport 80 -j ACCEPT")
	h.write("-t mangle -A PREROUTING -p tcp --dport 22 -j MARK --set-mark 3")
	h.write("-t nat -A PREROUTING -p tcp --dport 8080 -j REDIRECT --to-ports 80")
	h.write("-t raw -A PREROUTING -p udp --dport 9 -j DROP")
}

func (h iptablesHost) misdirect(to netip.Addr) {
	h.write("-t nat -A PREROUTING -i " + lan + " -p tcp -j DNAT --to-destination " + to.String())
}

func (h iptablesHost) text() string { return h.output("reading the rules", h.program("-save")) }

func (h iptablesHost) snapshot() string {
	var b strings.Builder
	table := ""
	for line := range strings.Lines(h.text()) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "*"):
			table = line
		case strings.HasPrefix(line, ":"):
			chain, _, _ := strings.Cut(line, " [")
			if !strings.HasSuffix(chain, " ACCEPT") {
				b.WriteString(table + " " + chain + "\n")
			}
		case strings.HasPrefix(line, "-A"):
			b.WriteString(table + " " + line + "\n")
		}
	}
	return b.String()
}

func (h iptablesHost) damages() []damage {
	return []damage{
		{"everything flushed", func() { h.write("-F"); h.write("-t nat -F"); h.write("-t mangle -F") }},
		{"the tables written anew", func() { h.restore("*filter\nCOMMIT\n*nat\nCOMMIT\n*mangle\nCOMMIT\n") }},
		{"the jumps doubled", h.doubleJumps},
		{"a pinhole more", h.eachOwn("-A", " -j RETURN")},
		{"our chains flushed", h.eachOwn("-F", "")},
	}
}

func (h iptablesHost) restore(text string, args ...string) {
	h.Helper()
	h.in(h.router, "writing the tables", func() error {
		cmd := exec.Command(h.program("-restore"), append(args, "-w", "5")...)
		cmd.Stdin = strings.NewReader(text)
		cmd.Stderr = os.Stderr
		return cmd.Run()
	})
}

// doubleJumps appends every rule of a chain of the host that bears our comment once more.
func (h iptablesHost) doubleJumps() {
	var again strings.Builder
	for line := range strings.Lines(h.text()) {
		switch {
		case strings.HasPrefix(line, "*"), line == "COMMIT\n":
			again.WriteString(line)
		case strings.HasPrefix(line, "-A ") && !strings.HasPrefix(line, "-A FTPGATE") && strings.Contains(line, "ftpgate"):
			again.WriteString(line)
		}
	}
	h.restore(again.String(), "--noflush")
}

// eachOwn runs a command of iptables for every chain of ours that the host's iptables shows.
func (h iptablesHost) eachOwn(command, rest string) func() {
	return func() {
		table := ""
		for line := range strings.Lines(h.text()) {
			if strings.HasPrefix(line, "*") {
				table = strings.TrimSpace(line[1:])
			}
			if name, _, _ := strings.Cut(line, " "); strings.HasPrefix(name, ":FTPGATE") {
				h.write("-t " + table + " " + command + " " + name[1:] + rest)
			}
		}
	}
}
