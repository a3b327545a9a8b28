package doctor

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ftpgate/ftpgate/configs"
)

// listener looks whether our port is free, or ours.
func listener(f *Facts) Outcome {
	o := Outcome{Saw: fmt.Sprintf("port %d of the loopback addresses is free", f.Config.ListenPort), Unchecked: f.Unread[unreadSockets]}
	if f.Running {
		o.Saw = fmt.Sprintf("the gateway listens at port %d of the loopback addresses", f.Config.ListenPort)
	}
	heard := false
	for _, l := range f.Listeners {
		if l.Port != int(f.Config.ListenPort) || !l.IP.IsLoopback() && !l.IP.IsUnspecified() {
			continue
		}
		if heard = true; f.Running && l.IP.IsLoopback() {
			continue
		}
		o.Findings = append(o.Findings, Finding{ID: "listen-port-taken", Severity: Fails,
			What: fmt.Sprintf("Another program listens at %s (ss -ltnp sport = :%d names it)", l.String(), l.Port),
			Why:  "The gateway's listener cannot have the port.",
			Cure: fmt.Sprintf("listen_port: %d   # in %s", f.freePort(), f.Path)})
	}
	if found, taken := f.statusTaken(); taken {
		o.Findings = append(o.Findings, found)
	}
	if f.Running && !heard && o.Unchecked == "" {
		o.Findings = append(o.Findings, Finding{ID: "listen-port", Severity: Warns,
			What: fmt.Sprintf("A gateway runs, but nobody listens at port %d: it runs with another configuration", f.Config.ListenPort),
			Why:  "What is said here is about the configuration in " + f.Path + ".", Cure: "kill -HUP $(pidof ftpgate)"})
	}
	return o
}

// statusTaken tells whether another program listens where the status endpoint is to be. A name or a socket in the file
// system is not looked at.
func (f *Facts) statusTaken() (Finding, bool) {
	want, err := netip.ParseAddrPort(f.Config.Status.Listen)
	if f.Running || err != nil {
		return Finding{}, false
	}
	taken := slices.ContainsFunc(f.Listeners, func(l net.TCPAddr) bool {
		own := l.IP.Equal(want.Addr().AsSlice()) || l.IP.IsUnspecified() || want.Addr().IsUnspecified()
		return l.Port == int(want.Port()) && own
	})
	return Finding{ID: "status-port-taken", Severity: Fails,
		What: fmt.Sprintf("Another program listens at %s, where the status endpoint is to be", want),
		Why:  "The gateway does not start without it.",
		Cure: fmt.Sprintf("status: {listen: \"%s\"}   # in %s", netip.AddrPortFrom(want.Addr(), f.freeFrom(want.Port())), f.Path)}, taken
}

// freePort is a port near ours at which nobody listens.
func (f *Facts) freePort() uint16 { return f.freeFrom(f.Config.ListenPort) }

func (f *Facts) freeFrom(taken uint16) uint16 {
	for p := taken + 1; p != taken; p++ {
		if p >= 1024 && !f.Config.DataPorts.Contains(p) && !slices.ContainsFunc(f.Listeners, func(l net.TCPAddr) bool { return l.Port == int(p) }) {
			return p
		}
	}
	return taken
}

// manyTaken is the share of data_ports from which on those that others listen at are missed.
const manyTaken = 0.5

// dataPorts looks for others who use data_ports. A port that a local socket holds is passed over when one is lent.
func dataPorts(f *Facts) Outcome {
	lent := f.Config.DataPorts
	size := int(lent.Last) - int(lent.First) + 1
	o := Outcome{Saw: fmt.Sprintf("nobody listens in %s", lent), Unchecked: f.Unread[unreadSockets]}
	var taken []int
	for _, l := range f.Listeners {
		if l.Port < 1<<16 && lent.Contains(uint16(l.Port)) && !l.IP.IsLoopback() && !slices.Contains(taken, l.Port) {
			taken = append(taken, l.Port)
		}
	}
	slices.Sort(taken)
	if len(taken) > 0 {
		found := Finding{ID: "data-ports-taken", Severity: Notes, What: fmt.Sprintf("Other programs listen at %d of the %d data_ports: %s", len(taken), size, shortList(taken)),
			Why: "These are not lent; the rest are.", Cure: fmt.Sprintf("data_ports: %s   # in %s", f.otherPorts(size), f.Path)}
		switch share := float64(len(taken)) / float64(size); {
		case share == 1:
			found.Severity, found.Why = Fails, "No port is left to lend: every data connection that is translated is refused."
		case share >= manyTaken:
			found.Severity, found.Why = Warns, "Few ports are left to lend."
		}
		o.Findings = append(o.Findings, found)
	}
	if found, overlap := f.ephemeral(); overlap {
		o.Findings = append(o.Findings, found)
	}
	return o
}

// otherPorts is a range of the same size in which nobody listens, or the one that is configured.
func (f *Facts) otherPorts(size int) configs.PortRange {
	for first := 50000 - size; first >= 10000; first -= size {
		r := configs.PortRange{First: uint16(first), Last: uint16(first + size - 1)}
		if !r.Contains(f.Config.ListenPort) && !slices.ContainsFunc(f.Listeners, func(l net.TCPAddr) bool { return r.Contains(uint16(l.Port)) }) {
			return r
		}
	}
	return f.Config.DataPorts
}

const mostListed = 5

func shortList(numbers []int) string {
	var words []string
	for _, n := range numbers[:min(mostListed, len(numbers))] {
		words = append(words, strconv.Itoa(n))
	}
	if len(numbers) > mostListed {
		words = append(words, "...")
	}
	return strings.Join(words, ", ")
}

// ephemeral tells whether the kernel may draw the ports of the host's own connections from data_ports.
func (f *Facts) ephemeral() (Finding, bool) {
	const setting = "net.ipv4.ip_local_port_range"
	var first, last int
	if _, err := fmt.Sscan(f.setting(setting), &first, &last); err != nil {
		return Finding{}, false
	}
	lent := f.Config.DataPorts
	reserved := f.setting("net.ipv4.ip_local_reserved_ports")
	a, b := max(first, int(lent.First)), min(last, int(lent.Last))
	if b < a || isReserved(reserved, a, b) {
		return Finding{}, false
	}
	if reserved != "" {
		reserved += ","
	}
	return Finding{ID: "data-ports-ephemeral", Severity: Notes,
		What: fmt.Sprintf("data_ports %s and %s (%d-%d) overlap", lent, setting, first, last),
		Why:  "Connections of the host itself may hold a port when it is to be lent; ftpgate then takes another one. Only a busy host needs the cure.",
		Cure: fmt.Sprintf("sysctl -w net.ipv4.ip_local_reserved_ports=%s%s", reserved, lent)}, true
}

// isReserved tells whether the list, as "8080,50000-51999", holds all ports from first to last.
func isReserved(list string, first, last int) bool {
	for _, item := range strings.Split(list, ",") {
		a, b, ok := strings.Cut(item, "-")
		if !ok {
			b = a
		}
		from, err := strconv.Atoi(a)
		to, failed := strconv.Atoi(b)
		if err == nil && failed == nil && from <= first && last <= to {
			return true
		}
	}
	return false
}
