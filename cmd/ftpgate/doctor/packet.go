package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/ftpgate/ftpgate/configs"
)

// Where in the order of the hook prerouting our marks come from: see firewall/nftables and firewall/iptables.
const (
	priorityMangle = -150 // the backend iptables takes control connections over here, in the first place
	priorityTaken  = -120 // and the backend nftables here
	priorityHole   = -110
	// priorityConntrack is where the state of a connection begins to be known.
	priorityConntrack = -200
)

// highPorts are those that data connections use.
var highPorts = ports{1024, 65535}

// packet stands for all packets of one kind that FTP needs.
type packet struct {
	what     string
	six      bool
	hooks    []string // on its way
	iif, oif string   // "": none
	src, dst []netip.Prefix
	sport    ports
	dport    ports
	local    truth // its destination is an address of this host
	first    bool  // of its connection
	mark     uint32
	ctMark   uint32
	mask     uint32 // the bits of the two that are known
	taken    uint32 // mark once it has been taken over
	hole     uint32 // ctMark from priorityHole on
	ipt, nft string // the match of a rule for it
}

func (p *packet) state() string {
	if p.first {
		return "new"
	}
	return "established"
}

// takenBefore tells whether a chain at prerouting may see control connections after they have been taken over. What our
// jump in a chain of iptables accepts does not come to the rules behind it.
func (f *Facts) takenBefore(c *chain) bool {
	if f.Backend.Name == configs.BackendNFTables {
		return c.priority >= priorityTaken
	}
	return c.priority > priorityMangle || c.priority == priorityMangle && kindOf(c.table) != kindOf(&table{program: f.Backend.Program})
}

// at is the packet as a chain sees it.
func (p *packet) at(c *chain, f *Facts) *packet {
	q := *p
	early := c.hook == hookIngress || c.hook == hookPrerouting
	if p.taken != 0 && (!early || c.hook == hookPrerouting && f.takenBefore(c)) {
		q.mark = p.taken
	}
	if p.hole != 0 && (!early || c.hook == hookPrerouting && (!p.first || c.priority > priorityHole)) {
		q.ctMark = p.hole
	}
	if c.hook == hookInput && q.mark != 0 { // narrower than its ports
		q.ipt, q.nft = fmt.Sprintf("-m mark --mark %#x/%#x", q.mark, q.mask), fmt.Sprintf("meta mark & %#x == %#x", q.mask, q.mark)
	}
	switch c.hook {
	case hookInput, hookIngress, hookPrerouting:
		q.oif = ""
	case hookOutput, hookPostrouting, hookEgress:
		if c.hook != hookPostrouting || !slices.Contains(p.hooks, hookForward) {
			q.iif = ""
		}
	}
	return &q
}

// sides are the interfaces and networks of a family.
type sides struct {
	f        *Facts
	six      bool
	lan, wan []string
	packets  []*packet
}

// packets are all kinds that the configuration needs.
func (f *Facts) packets() (all []*packet) {
	for _, six := range []bool{false, true} {
		if !f.speaks(six) && (six || f.speaks(true)) {
			continue // where neither family is spoken, IPv4 is looked at
		}
		s := sides{f: f, six: six, lan: f.Config.Interfaces.LAN, wan: f.Config.Interfaces.WAN}
		for i := range f.Config.Rules {
			r := &f.Config.Rules[i]
			if r.Direction == configs.Outbound {
				s.control(r, s.lan, s.wan, r.Ports, s.known(r.Clients, s.lan), s.known(r.Servers, nil), no)
			} else {
				s.control(r, s.wan, s.lan, serverPorts(r), s.known(r.Clients, nil), s.servers(r), unsure)
			}
		}
		s.data()
		all = append(all, s.packets...)
	}
	return all
}

func (s *sides) add(p packet) {
	p.six, p.mask = s.six, s.f.Frame.Mask
	if slices.ContainsFunc(s.packets, func(q *packet) bool { return q.what == p.what }) {
		return
	}
	s.packets = append(s.packets, &p)
}

// known are the networks of the family that the configuration names, or else those at the interfaces.
func (s *sides) known(n configs.Networks, at []string) (out []netip.Prefix) {
	if !n.Any() {
		for _, p := range n {
			if p.Addr().Is6() == s.six {
				out = append(out, p)
			}
		}
		return out
	}
	for _, l := range s.f.Links {
		if slices.Contains(at, l.Name) {
			for _, a := range l.Addresses {
				if a.Addr().Is6() == s.six && !a.Addr().IsLinkLocalUnicast() {
					out = append(out, a.Masked())
				}
			}
		}
	}
	return out
}

func (s *sides) servers(r *configs.Rule) (out []netip.Prefix) {
	for _, server := range r.Server {
		if a := server.Addr(); a.Is6() == s.six {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return append(out, s.known(r.Servers, nil)...)
}

func serverPorts(r *configs.Rule) (out []uint16) {
	for _, server := range r.Server {
		out = append(out, server.Port())
	}
	if len(out) == 0 {
		return r.Ports
	}
	return out
}

// control adds the packets of the two control connections of a rule: clients come by near, servers are behind far.
func (s *sides) control(r *configs.Rule, near, far []string, servers []uint16, clients, at []netip.Prefix, local truth) {
	take := s.f.Frame.Mark
	var own uint32 // the mark of our sockets that bear a client's address
	if r.PreserveClientAddress {
		own = take
	}
	for _, i := range near {
		for _, n := range r.Ports {
			port := ports{n, n}
			s.add(packet{
				what: fmt.Sprintf("control connections of clients at %s to port %d (%s)", i, n, s),
				iif:  i, src: clients, sport: highPorts, dport: port, local: local, first: true, taken: take,
				hooks: []string{hookIngress, hookPrerouting, hookInput},
				ipt:   fmt.Sprintf("-i %s -p tcp --dport %d", i, n), nft: fmt.Sprintf("iifname %q tcp dport %d", i, n),
			})
			s.add(packet{
				what: fmt.Sprintf("answers to clients at %s from port %d (%s)", i, n, s),
				oif:  i, dst: clients, sport: port, dport: highPorts, local: no,
				hooks: []string{hookOutput, hookPostrouting, hookEgress},
				ipt:   fmt.Sprintf("-p tcp --sport %d -m conntrack --ctstate ESTABLISHED", n),
				nft:   fmt.Sprintf("tcp sport %d ct state established", n),
			})
		}
	}
	for _, o := range far {
		for _, n := range servers {
			port := ports{n, n}
			s.add(packet{
				what: fmt.Sprintf("the gateway's own connections to servers at %s, port %d (%s)", o, n, s),
				oif:  o, dst: at, sport: highPorts, dport: port, local: no, first: true, mark: own,
				hooks: []string{hookOutput, hookPostrouting, hookEgress},
				ipt:   fmt.Sprintf("-p tcp --dport %d", n), nft: fmt.Sprintf("tcp dport %d", n),
			})
			s.add(packet{
				what: fmt.Sprintf("replies of servers at %s, port %d (%s)", o, n, s),
				iif:  o, src: at, sport: port, dport: highPorts, local: unsure, taken: own,
				hooks: []string{hookIngress, hookPrerouting, hookInput},
				ipt:   fmt.Sprintf("-i %s -p tcp --sport %d -m conntrack --ctstate ESTABLISHED", o, n),
				nft:   fmt.Sprintf("iifname %q tcp sport %d ct state established", o, n),
			})
		}
	}
}

// data adds the packets of data connections, from each side to the other.
func (s *sides) data() {
	lent := ports{s.f.Config.DataPorts.First, s.f.Config.DataPorts.Last}
	hole := s.f.Frame.PinholeMark
	mark := fmt.Sprintf("-m connmark --mark %#x/%#x", hole, s.f.Frame.Mask)
	nft := fmt.Sprintf("ct mark & %#x == %#x", s.f.Frame.Mask, hole)
	for _, w := range s.wan {
		s.add(packet{
			what: fmt.Sprintf("data connections that arrive at %s (%s)", w, s), iif: w, sport: allPorts, dport: lent,
			local: yes, first: true, hole: hole, hooks: []string{hookIngress, hookPrerouting},
			ipt: fmt.Sprintf("-i %s -p tcp --dport %d:%d", w, lent.first, lent.last),
			nft: fmt.Sprintf("iifname %q tcp dport %d-%d", w, lent.first, lent.last),
		})
	}
	for _, l := range s.lan {
		s.add(packet{
			what: fmt.Sprintf("data connections that arrive at %s (%s)", l, s), iif: l, src: s.known(configs.AnyNetwork(), s.lan),
			sport: allPorts, dport: highPorts, local: no, first: true, hole: hole, hooks: []string{hookIngress, hookPrerouting},
			ipt: fmt.Sprintf("-i %s -p tcp --dport 1024:65535", l), nft: fmt.Sprintf("iifname %q tcp dport 1024-65535", l),
		})
		for _, w := range s.wan {
			for _, way := range [][2]string{{l, w}, {w, l}} {
				p := packet{iif: way[0], oif: way[1], sport: allPorts, dport: highPorts, local: no, hole: hole,
					hooks: []string{hookForward, hookPostrouting, hookEgress}, ipt: mark, nft: nft}
				inside := s.known(configs.AnyNetwork(), s.lan)
				if way[0] == l {
					p.src = inside
				} else {
					p.dst = inside
				}
				p.first = true
				p.what = fmt.Sprintf("data connections from %s to %s (%s)", way[0], way[1], s)
				s.add(p)
				p.first, p.sport, p.dport = false, highPorts, allPorts
				p.what = fmt.Sprintf("established data connections from %s to %s (%s)", way[0], way[1], s)
				s.add(p)
			}
		}
	}
}

func (s *sides) String() string {
	if s.six {
		return "IPv6"
	}
	return "IPv4"
}
