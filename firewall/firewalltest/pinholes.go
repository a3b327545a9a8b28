//go:build kernel

package firewalltest

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/ftpgate/ftpgate/firewall"
)

// pinholes: what one admits, and nothing else. The host has no rule that admits anything, replies included.
func pinholes(s *subject) {
	b := s.installed()
	e := s.listen(s.server, s.serverAddr(), 4001)
	other := s.listen(s.server, s.serverAddr(), 4002)
	client := port(s.clientAddr(), 0)
	s.refused("without a pinhole", client, e.addr)

	h := s.hole(e.addr)
	s.open(b, h)
	s.refused("another source", port(s.strangerAddr(), 0), e.addr)
	s.refused("another port", client, other.addr)
	s.refusedBy("another interface", dialling{from: client, by: "eth1"}, e.addr)
	s.notForwarded(s.clientAddr(), e.addr.Port())
	s.quiet(b, h)
	s.admitted(client, e.addr, e, client) // routed, though the host masquerades

	twenty := s.hole(e.addr, func(h *firewall.Hole) { h.SourcePort = 20 })
	s.open(b, twenty)
	s.refused("another source port", client, e.addr)
	s.admitted(port(s.clientAddr(), 20), e.addr, e, port(s.clientAddr(), 20))

	closed := s.hole(other.addr)
	s.open(b, closed)
	s.shut(b, closed)
	s.refused("a pinhole that was shut", client, other.addr)
	s.shut(b, closed, h, twenty)
	s.quiet(b)
}

// translation: destination, source, both; the source port is kept.
func translation(s *subject) {
	b := s.installed()
	e := s.listen(s.server, s.serverAddr(), 4001)
	client := func(p uint16) netip.AddrPort { return port(s.clientAddr(), p) }

	public := port(s.lanAddr(), 50001)
	s.open(b, s.hole(public, func(h *firewall.Hole) { h.Target = e.addr }))
	s.admitted(client(3001), public, e, client(3001))

	seen := s.hole(e.addr, func(h *firewall.Hole) { h.SourceAs = s.wanOther() })
	s.open(b, seen)
	s.admitted(client(20), e.addr, e, port(s.wanOther(), 20))
	s.shut(b, seen) // what follows leads to the same target with another source

	public = port(s.wanAddr(), 50002)
	s.open(b, s.hole(public, func(h *firewall.Hole) { h.Target, h.SourceAs = e.addr, s.wanAddr() }))
	s.admitted(client(3003), public, e, port(s.wanAddr(), 3003))
	s.refused("a second connection to a translated pinhole", client(0), public)
}

// steered: what a pinhole marks the host routes by the mark, from the first packet on. Here it leads nowhere, so that it shows.
func steered(s *subject) {
	b := s.installed()
	e := s.listen(s.server, s.serverAddr(), 4001)
	other := s.listen(s.server, s.serverAddr(), 4002)
	client := port(s.clientAddr(), 0)
	family := "-6"
	if s.four {
		family = "-4"
	}
	s.output("a rule that goes by the mark", "ip", family, "rule", "add", "priority", "100", "fwmark", "0x205/0xffffff", "blackhole")
	marked := func(h *firewall.Hole) { h.Mark = 0x205 }
	public := port(s.lanAddr(), 50001)
	holes := []firewall.Hole{s.hole(e.addr, marked), s.hole(public, marked, func(h *firewall.Hole) { h.Target = e.addr }), s.hole(other.addr)}
	s.open(b, holes...)
	s.quiet(b, holes...)
	s.refused("a marked one", client, e.addr)
	s.refused("one that is marked and translated", client, public)
	s.admitted(client, other.addr, other, client)
	s.must("installing again", b.Install(s.frame()))
	s.quiet(b, holes...)
	s.shut(b, holes...)
	s.quiet(b)
	again := s.hole(e.addr) // what was marked before is not any more
	s.open(b, again)
	s.admitted(client, e.addr, e, client)
}

// batch: many in one transaction, and the removal of most of them.
func batch(s *subject) {
	const many = 300
	b := s.installed()
	e := s.listen(s.server, s.serverAddr(), 4001)
	client := port(s.clientAddr(), 0)
	var holes []firewall.Hole
	for i := range many {
		public := port(s.wanAddr(), uint16(50000+i))
		holes = append(holes, s.hole(public, func(h *firewall.Hole) { h.Target = e.addr }))
	}
	s.open(b, holes...)
	s.quiet(b, holes...)
	s.admitted(client, holes[many-1].Destination, e, client)
	s.admitted(client, holes[0].Destination, e, client)
	s.shut(b, holes[:1]...)
	s.shut(b, holes[1:many-1]...)
	s.refused("a pinhole that was shut with others", client, holes[many/2].Destination)
	s.quiet(b, holes[many-1])
	s.shut(b, holes[many-1])
	s.quiet(b)
}

// badHole: a transaction that the kernel refuses leaves nothing of it, and all else as it was.
func badHole(s *subject) {
	b := s.installed()
	e := s.listen(s.server, s.serverAddr(), 4001)
	client := port(s.clientAddr(), 0)
	kept := s.hole(e.addr)
	s.open(b, kept)
	good := s.hole(port(s.serverAddr(), 4003))
	bad := s.hole(port(s.serverAddr(), 4004), func(h *firewall.Hole) { h.Interface = "a name that is too long for a link" })
	if err := b.Apply([]firewall.Hole{good, bad}, nil); err == nil {
		s.Error("a hole with an impossible interface was opened")
	} else {
		s.Log("as it should: ", err)
	}
	s.quiet(b, kept)
	s.admitted(client, e.addr, e, client)
}

// expiry: the kernel ends a pinhole by itself, not early and less than a second late.
func expiry(s *subject) {
	b := s.installed()
	e := s.listen(s.server, s.serverAddr(), 4001)
	late := s.listen(s.server, s.serverAddr(), 4002)
	client := port(s.clientAddr(), 0)
	// Late in its second: a backend that counts in seconds must not cut it.
	end := time.Now().Add(2 * time.Second).Truncate(time.Second).Add(1900 * time.Millisecond)
	until := func(h *firewall.Hole) { h.Expires = end }
	s.open(b, s.hole(e.addr, until), s.hole(late.addr, until))
	time.Sleep(time.Until(end.Add(-600 * time.Millisecond)))
	s.admitted(client, e.addr, e, client)
	time.Sleep(time.Until(end.Add(time.Second)))
	s.refused("after its end", client, late.addr)
}

// established: a connection that has begun outlives its pinhole and the backend, given the rule that such hosts have.
func established(s *subject) {
	s.rules.deny()
	s.rules.admitEstablished()
	b := s.backend()
	s.must("installing", b.Install(s.frame()))
	e := s.listen(s.server, s.serverAddr(), 4001)
	client := port(s.clientAddr(), 0)
	public := port(s.wanAddr(), 50001)
	h := s.hole(public, func(h *firewall.Hole) { h.Target, h.SourceAs = e.addr, s.wanAddr() })
	s.open(b, h)
	conn := s.admitted(client, public, e, port(s.wanAddr(), 0))
	s.shut(b, h)
	s.alive(conn)
	s.must("installing again", b.Install(s.frame()))
	s.alive(conn)
	s.must("removing", b.Remove())
	s.alive(conn)
	s.refused("a new connection", client, public)
	s.must("installing", s.backend().Install(s.frame()))
	s.alive(conn)
}

// toTheRouter: a pinhole whose target is the host itself passes its INPUT chain.
func toTheRouter(s *subject) {
	b := s.installed()
	e := s.listen(s.router, s.lanAddr(), 4001)
	client := port(s.clientAddr(), 0)
	s.refused("without a pinhole", client, e.addr)
	s.open(b, s.hole(e.addr))
	s.admitted(client, e.addr, e, client)
	s.refused("a second connection", client, e.addr)
}

// reframe: another frame replaces the static part; what is open stays open.
func reframe(s *subject) {
	b := s.installed()
	e := s.listen(s.server, s.serverAddr(), 4001)
	client := port(s.clientAddr(), 0)
	h := s.hole(e.addr)
	s.open(b, h)
	for _, change := range []func(*firewall.Frame){
		func(f *firewall.Frame) { f.ServerPorts, f.Returns = nil, nil },
		func(f *firewall.Frame) {
			f.Takeovers = nil
			for p := range uint16(40) {
				f.Takeovers = append(f.Takeovers, firewall.Takeover{Interface: wan, Port: 2100 + p, Scope: firewall.LocalOnly})
				f.ServerPorts = append(f.ServerPorts, 2100+p)
			}
		},
		func(f *firewall.Frame) { f.PinholeMark = 0x48000000 },
	} {
		f := s.frame()
		change(&f)
		s.must("installing another frame", b.Install(f))
		s.quiet(b, h)
	}
	s.must("installing the first frame", b.Install(s.frame()))
	s.admitted(client, e.addr, e, client)
	s.must("removing", b.Remove())
	if left := s.snapshot(); ours(left) {
		s.Errorf("left behind:\n%s", left)
	}
}

// anyOrder: calls that come twice or too early do no harm.
func anyOrder(s *subject) {
	s.rules.deny()
	b := s.backend()
	s.must("removing before installing", b.Remove())
	if err := b.Apply([]firewall.Hole{s.hole(port(s.serverAddr(), 4001))}, nil); err == nil {
		s.Error("a hole was opened before installing")
	}
	s.must("installing", b.Install(s.frame()))
	s.must("installing again", b.Install(s.frame()))
	s.quiet(b)
	s.shut(b, s.hole(port(s.serverAddr(), 4001)))
	s.must("applying nothing", b.Apply(nil, nil))
	s.must("removing", b.Remove())
	s.must("removing again", b.Remove())
	s.must("installing after removing", b.Install(s.frame()))
	e := s.listen(s.server, s.serverAddr(), 4001)
	client := port(s.clientAddr(), 0)
	s.open(b, s.hole(e.addr))
	s.admitted(client, e.addr, e, client)
	s.must("removing", b.Remove())
	if s.Failed() {
		s.Log(fmt.Sprint(s.rules.text()))
	}
}

// hostTranslates: the host leads every connection elsewhere and masquerades; what a pinhole admits is ours alone.
func hostTranslates(s *subject) {
	s.rules.deny()
	s.rules.misdirect(s.addr(2, 77))
	b := s.backend()
	s.must("installing", b.Install(s.frame()))
	e := s.listen(s.server, s.serverAddr(), 4001)
	client := port(s.clientAddr(), 0)
	s.refused("without a pinhole", client, e.addr)
	s.open(b, s.hole(e.addr))
	s.admitted(client, e.addr, e, client)
	public := port(s.lanAddr(), 50001)
	s.open(b, s.hole(public, func(h *firewall.Hole) { h.Target, h.SourceAs = e.addr, s.wanOther() }))
	s.admitted(client, public, e, port(s.wanOther(), 0))
	s.refused("a second connection", client, public)
}
