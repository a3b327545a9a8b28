package nftables

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/ftpgate/ftpgate/firewall"
)

// Our table and its chains, of each family.
const (
	tableName    = "ftpgate"
	tableComment = "written by ftpgate, see README"

	chainControl      = "control"
	chainData         = "data"
	chainAdmitted     = "admitted"
	chainUntranslated = "untranslated"
	chainLeaving      = "leaving"
)

// Where our chains stand among those of the host. Control connections are taken over behind all that marks packets (mangle
// is -150, firewalld's is -140), so that nobody overwrites our mark and a host's own is kept beside it, and before any
// translation. Translations stand before the host's: the first one that says something about a connection decides.
const (
	priorityControl = -120 // dstnat - 20
	priorityData    = -110 // dstnat - 10
	priorityLeaving = 90   // srcnat - 10

	hookPrerouting, hookInput, hookForward, hookPostrouting = 0, 1, 2, 4
)

// static is the frame as chains.
func (f *family) static(frame firewall.Frame) []chain {
	return append([]chain{
		f.control(frame),
		f.data(frame, f.layers),
		f.admitted(frame),
		f.untranslated(),
		f.leaving(frame),
	}, f.gateway(frame, f.exposed)...)
}

// control is passed by every packet of the router, so the first rule sends away what is not a control connection.
func (w words) control(f firewall.Frame) chain {
	c := chain{name: chainControl, comment: "control connections are given to our listener",
		hook: &hook{nftables.ChainTypeFilter, hookPrerouting, priorityControl}}
	var ports, replies []string
	for _, r := range f.Returns {
		ports = append(ports, pad4(r.Port))
		replies = append(replies, pad16(r.Interface)+pad4(r.Port))
	}
	taken := map[firewall.Takeover][]string{} // interfaces and ports by what else is demanded
	for _, t := range f.Takeovers {
		if !t.Concerns(w.four) {
			continue
		}
		ports = append(ports, pad4(t.Port))
		class := firewall.Takeover{Scope: t.Scope, Network: t.Network}
		taken[class] = append(taken[class], pad16(t.Interface)+pad4(t.Port))
	}
	if len(ports) == 0 {
		return c
	}
	other := newRule("not a control connection", isTCP())
	other.among(true, unique(ports), sourcePort())
	other.among(true, unique(ports), destinationPort())
	c.rules = append(c.rules, *other.then(verdict(expr.VerdictReturn)))
	classes := slices.SortedFunc(maps.Keys(taken), func(a, b firewall.Takeover) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), a.Network.Addr().Compare(b.Network.Addr()),
			cmp.Compare(a.Network.Bits(), b.Network.Bits()))
	})
	for _, class := range classes {
		arrivals := unique(taken[class])
		if class.Scope == firewall.Established {
			c.rules = append(c.rules, w.toSockets(f, "control connections of a former configuration", arrivals, destinationPort())...)
			continue
		}
		c.rules = append(c.rules, w.takeover(f, class, arrivals))
	}
	if len(replies) > 0 {
		c.rules = append(c.rules, w.toSockets(f, "replies to a socket that bears a client's address", unique(replies), sourcePort())...)
	}
	return c
}

// toSockets brings packets to sockets that bear an address which is not the host's. A socket that listens on all
// addresses is not meant: some other transparent proxy's, which would get what it never asked for.
func (w words) toSockets(f firewall.Frame, comment string, arrivals []string, port field) []rule {
	foreign := newRule("not a socket that bears an address", isTCP())
	foreign.among(false, arrivals, ifname(), port)
	foreign.then(socketIs(expr.SocketKeyWildcard), verdict(expr.VerdictReturn))
	ours := newRule(comment, isTCP())
	ours.among(false, arrivals, ifname(), port)
	ours.then(socketIs(expr.SocketKeyTransparent), packetMark().set(f.Mark, f.Mask), verdict(expr.VerdictAccept))
	return []rule{foreign, ours}
}

func (w words) takeover(f firewall.Frame, class firewall.Takeover, arrivals []string) rule {
	r := newRule(map[firewall.Scope]string{
		firewall.RoutedOnly: "control connections beyond this host",
		firewall.LocalOnly:  "control connections to this host",
		firewall.Network:    "control connections to a server",
	}[class.Scope], isTCP())
	r.among(false, arrivals, ifname(), destinationPort())
	switch class.Scope {
	case firewall.RoutedOnly:
		r.then(toLocal(expr.CmpOpNeq))
	case firewall.LocalOnly:
		r.then(toLocal(expr.CmpOpEq))
	case firewall.Network:
		r.then(w.inNetwork(class.Network))
	}
	r.then(w.tproxy(f.ListenPort), packetMark().set(f.Mark, f.Mask), verdict(expr.VerdictAccept))
	return r
}

// data is passed by the first packet of every connection: that is what chains of type nat see. layers are the sets of
// pinholes that exist, by whether they require a source port.
func (w words) data(f firewall.Frame, layers [2]int) chain {
	c := chain{name: chainData, comment: "the pinholes; passed once by every connection",
		hook: &hook{nftables.ChainTypeNAT, hookPrerouting, priorityData},
		rules: []rule{
			newRule("nobody else translates what we take over", packetMark().is(expr.CmpOpEq, f.Mark, f.Mask),
				goTo(chainUntranslated)),
			newRule("no beginning of a connection", isTCP(), isFirst(expr.CmpOpNeq), verdict(expr.VerdictReturn)),
		}}
	for layer := range max(layers[0], layers[1]) {
		for i, fromPort := range []bool{false, true} {
			if layer < layers[i] {
				c.rules = append(c.rules, w.gate(w.gateSet(fromPort, layer)))
			}
		}
	}
	if f.Refused.Group != 0 {
		c.rules = append(c.rules, refused(f.Refused))
	}
	return c
}

// refused stands behind the gates: what comes so far has not been admitted by any.
func refused(r firewall.RefusedLog) rule {
	ports := []expr.Any{&expr.Range{Op: expr.CmpOpEq, Register: reg, FromData: net16(r.First), ToData: net16(r.Last)}}
	return newRule("what no pinhole admits, for ftpgate's diagnosis", isTCP(), load(destinationPort()), ports, toLocal(expr.CmpOpEq),
		[]expr.Any{&expr.Limit{Type: expr.LimitTypePkts, Rate: firewall.RefusedPerSecond, Unit: expr.LimitTimeSecond, Burst: firewall.RefusedBurst}},
		logTo(r.Group))
}

func (w words) gate(s *set) rule {
	return newRule("the pinhole for it is spent by it", isTCP(), load(s.key...), in(s.name), goTo(chainAdmitted))
}

func (w words) admitted(f firewall.Frame) chain {
	key := load(w.source(), w.destination(), destinationPort())
	return chain{name: chainAdmitted, comment: "data connections, each at its beginning", rules: []rule{
		newRule("what the filter of the host knows it by", connMark().set(f.PinholeMark, f.Mask)),
		newRule("what its routing knows it by, the first packet as well", isTCP(), key, translated(mapMarks), []expr.Any{packetMark().write},
			packetMark().copy(connMark(), f.PinholeMark, f.Mask)),
		newRule("to the listener of the data connection", isTCP(), key, translated(mapTargets), []expr.Any{w.dnat()}),
		newRule("routed, and nobody else translates it", goTo(chainUntranslated)),
	}}
}

// untranslated translates to what is there already: an accept would leave the connection to the host's own chains.
func (w words) untranslated() chain {
	return chain{name: chainUntranslated, comment: "the destination stays, whatever the host translates", rules: []rule{
		newRule("the destination that it has", isTCP(), load(w.destination(), destinationPort()), []expr.Any{w.dnat()}),
	}}
}

func (w words) leaving(f firewall.Frame) chain {
	key := load(w.source(), w.destination(), destinationPort())
	unchanged := append(load(w.source()), w.snat())
	return chain{name: chainLeaving, comment: "source addresses; passed once by every connection",
		hook: &hook{nftables.ChainTypeNAT, hookPostrouting, priorityLeaving},
		rules: []rule{
			newRule("our sockets keep the address they bear", packetMark().is(expr.CmpOpEq, f.Mark, f.Mask), unchanged),
			newRule("no pinhole has admitted it", connMark().is(expr.CmpOpNeq, f.PinholeMark, f.Mask),
				verdict(expr.VerdictReturn)),
			newRule("what the target sees", isTCP(), key, translated(mapSources), []expr.Any{w.snat()}),
			newRule("a routed one is not masqueraded", unchanged),
		}}
}

// addressKey is an address as a key holds it.
func addressKey(a netip.Addr) string { return string(a.AsSlice()) }

func unique(keys []string) []string {
	sorted := slices.Clone(keys)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}
