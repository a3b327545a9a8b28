package iptables

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ftpgate/ftpgate/firewall"
)

// Our chains. The prefix is what makes a chain ours; nothing else in the host's tables is ever flushed or deleted.
// iptables allows 28 bytes.
const (
	prefix = "FTPGATE-"

	chainPre  = prefix + "PRE"  // nat: every connection's first packet
	chainGate = prefix + "GATE" // nat: one rule per pinhole, which marks the one connection it admits
	chainDNAT = prefix + "DNAT" // nat: where marked connections are led
	chainPost = prefix + "POST" // nat: every connection's first packet, on its way out
	chainSNAT = prefix + "SNAT" // nat: what the target sees as the source

	chainForward = prefix + "FORWARD" // filter
	chainInput   = prefix + "INPUT"   // filter

	chainTProxy = prefix + "TPROXY" // mangle: control connections taken over
	chainDivert = prefix + "DIVERT" // mangle: packets of our transparent sockets
)

// The built-in chains that we hook.
const (
	preRouting  = "PREROUTING"
	postRouting = "POSTROUTING"
	forward     = "FORWARD"
	input       = "INPUT"
)

// dockerUser is the chain in which Docker has others decide. Docker puts its own chains first in FORWARD whenever it starts, since
// version 28 with a drop of all that goes to a container and is not published, and keeps this one before them.
const dockerUser = "DOCKER-USER"

// multiportMax is the number of ports that one multiport match takes.
const multiportMax = 15

// owned begins the comment of every rule of ours.
const owned = "ftpgate"

// spec is a rule without its chain, in the words of iptables(8).
type spec []string

// chain is one of ours with its static rules; a dynamic one has none and is filled from the holes.
type chain struct {
	name    string
	dynamic bool
	rules   []spec
}

// jump leads from a chain of the host to one of ours.
type jump struct {
	from, to string
	match    spec // which packets; the comment and the target are added when it is inserted
	late     bool // behind the host's own rules, instead of before them
}

// table is what we have in one table of one family.
type table struct {
	name   string
	chains []chain
	jumps  []jump
}

// marks are the two marks of a frame as iptables takes them: "0x46000000/0xff000000".
type marks struct {
	takeover, pinhole string
	value, mask       uint32 // of the pinhole's
}

func marksOf(f firewall.Frame) marks {
	return marks{
		takeover: fmt.Sprintf("%#x/%#x", f.Mark, f.Mask),
		pinhole:  fmt.Sprintf("%#x/%#x", f.PinholeMark, f.Mask),
		value:    f.PinholeMark, mask: f.Mask,
	}
}

// admitted is what a connection is marked with that the pinhole admits, first is what its first packet is.
func (m marks) admitted(h firewall.Hole) string {
	if h.Mark == 0 {
		return m.pinhole
	}
	return fmt.Sprintf("%#x/0xffffffff", m.value|h.Mark)
}

func (m marks) first(h firewall.Hole) string { return fmt.Sprintf("%#x/%#x", h.Mark, ^m.mask) }

// static is the frame as tables, in the order in which they are put in place: connections are taken over last, when
// everything else is ready for them. exposed are the interfaces of the WAN that the host's own rules leave open.
func static(f firewall.Frame, is4 bool, exposed []string) []table {
	m := marksOf(f)
	return []table{natTable(f, m, is4), filterTable(f, m, exposed), mangleTable(f, m, is4)}
}

func natTable(f firewall.Frame, m marks, is4 bool) table {
	t := table{
		name: "nat",
		chains: []chain{
			{name: chainPre, rules: []spec{
				rule("-m mark --mark "+m.takeover, "ftpgate: nobody else translates what we take over", "-j ACCEPT"),
				rule("", "ftpgate: one rule per pinhole", "-j "+chainGate),
				rule("-m connmark --mark "+m.pinhole, "ftpgate: a pinhole has admitted it", "-j "+chainDNAT),
				rule("-m connmark --mark "+m.pinhole, "ftpgate: nobody else translates it", "-j ACCEPT"),
			}},
			{name: chainGate, dynamic: true},
			{name: chainDNAT, dynamic: true},
			{name: chainPost, rules: []spec{
				rule("-m mark --mark "+m.takeover, "ftpgate: our sockets keep the address they bear", "-j ACCEPT"),
				rule("-m connmark ! --mark "+m.pinhole, "ftpgate: no pinhole has admitted it", "-j RETURN"),
				rule("", "ftpgate: source addresses of data connections", "-j "+chainSNAT),
				rule("", "ftpgate: a routed one is not masqueraded", "-j ACCEPT"),
			}},
			{name: chainSNAT, dynamic: true},
		},
		jumps: []jump{
			{from: preRouting, to: chainPre, match: fields("-p tcp")},
			{from: postRouting, to: chainPost},
		},
	}
	if r := f.Refused; r.Group != 0 {
		t.chains[0].rules = append(t.chains[0].rules, refused(r))
	}
	t.masquerade(f.Gateway, is4)
	return t
}

// refused stands behind the gates: what comes so far has not been admitted by any.
func refused(r firewall.RefusedLog) spec {
	match := fmt.Sprintf("-p tcp --dport %d:%d -m addrtype --dst-type LOCAL -m limit --limit %d/sec --limit-burst %d",
		r.First, r.Last, firewall.RefusedPerSecond, firewall.RefusedBurst)
	target := append(fields("-j NFLOG --nflog-prefix"), firewall.RefusedPrefix)
	target = append(target, "--nflog-group", strconv.Itoa(int(r.Group)))
	return append(rule(match, "ftpgate: what no pinhole admits, for its diagnosis", ""), target...)
}

func filterTable(f firewall.Frame, m marks, exposed []string) table {
	in := []spec{
		rule("-m mark --mark "+m.takeover, "ftpgate: control connections taken over", "-j ACCEPT"),
		rule("-m connmark --mark "+m.pinhole, "ftpgate: data connections to this host", "-j ACCEPT"),
	}
	for ports := range slices.Chunk(unique(f.ServerPorts), multiportMax) {
		in = append(in, rule("-p tcp -m multiport --sports "+join(ports)+" -m conntrack --ctstate ESTABLISHED",
			"ftpgate: replies of FTP servers", "-j ACCEPT"))
	}
	t := table{
		name: "filter",
		chains: []chain{
			{name: chainForward, rules: []spec{rule("", "ftpgate: data connections and their ICMP errors", "-j ACCEPT")}},
			{name: chainInput, rules: in},
		},
		jumps: []jump{
			// Without -p tcp: an ICMP error bears the mark of the connection that it is about.
			{from: forward, to: chainForward, match: fields("-m connmark --mark " + m.pinhole)},
			{from: input, to: chainInput},
		},
	}
	t.gateway(f.Gateway, exposed)
	return t
}

// mangleTable is passed by every packet of the router, so the first rule sends away what is not a control connection.
func mangleTable(f firewall.Frame, m marks, is4 bool) table {
	t := table{
		name: "mangle",
		chains: []chain{
			{name: chainTProxy},
			{name: chainDivert, rules: []spec{
				rule("", "ftpgate: to our socket", "-j MARK --set-xmark "+m.takeover),
				rule("", "ftpgate: to our socket", "-j ACCEPT"),
			}},
		},
		jumps: []jump{{from: preRouting, to: chainTProxy, match: fields("-p tcp")}},
	}
	if ports := controlPorts(f, is4); len(ports) <= multiportMax && len(ports) > 0 {
		t.chains[0].rules = append(t.chains[0].rules,
			rule("-p tcp -m multiport ! --ports "+join(ports), "ftpgate: not a control connection", "-j RETURN"))
	}
	for _, r := range f.Returns {
		t.chains[0].rules = append(t.chains[0].rules,
			rule(fmt.Sprintf("-i %s -p tcp --sport %d -m socket --transparent", r.Interface, r.Port),
				"ftpgate: replies to a socket that bears a client's address", "-j "+chainDivert))
	}
	for _, k := range f.Takeovers {
		if k.Concerns(is4) {
			t.chains[0].rules = append(t.chains[0].rules, takeover(k, f.ListenPort, m, is4))
		}
	}
	t.segments(f.Gateway)
	return t
}

func takeover(k firewall.Takeover, listen uint16, m marks, is4 bool) spec {
	match := fmt.Sprintf("-i %s -p tcp --dport %d", k.Interface, k.Port)
	switch k.Scope {
	case firewall.Established:
		return rule(match+" -m socket --transparent", "ftpgate: control connections of a former configuration", "-j "+chainDivert)
	case firewall.RoutedOnly:
		match += " -m addrtype ! --dst-type LOCAL"
	case firewall.LocalOnly:
		match += " -m addrtype --dst-type LOCAL"
	case firewall.Network:
		match += " -d " + k.Network.String()
	}
	loopback := "::1"
	if is4 {
		loopback = "127.0.0.1"
	}
	return rule(match, "ftpgate: control connections", fmt.Sprintf("-j TPROXY --on-ip %s --on-port %d --tproxy-mark %s",
		loopback, listen, m.takeover))
}

// controlPorts are the ports that occur in the takeovers and returns of the family.
func controlPorts(f firewall.Frame, is4 bool) []uint16 {
	var ports []uint16
	for _, r := range f.Returns {
		ports = append(ports, r.Port)
	}
	for _, k := range f.Takeovers {
		if k.Concerns(is4) {
			ports = append(ports, k.Port)
		}
	}
	return unique(ports)
}

// lodge adds what the table has in a chain of another program, if that is there.
func (t *table) lodge(have *saved) {
	if t.name != "filter" || !have.has(dockerUser) {
		return
	}
	for _, j := range t.jumps {
		if j.to == chainForward {
			j.from = dockerUser
			t.jumps = append(t.jumps, j)
			return
		}
	}
}

// rule puts the comment between the match and the target, where iptables-save prints it.
func rule(match, comment, target string) spec {
	s := fields(match)
	s = append(s, "-m", "comment", "--comment", comment)
	return append(s, fields(target)...)
}

func fields(s string) spec { return strings.Fields(s) }

func unique(ports []uint16) []uint16 {
	sorted := slices.Clone(ports)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

func join(ports []uint16) string {
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = strconv.Itoa(int(p))
	}
	return strings.Join(words, ",")
}
