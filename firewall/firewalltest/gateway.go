//go:build kernel

package firewalltest

import (
	"net"
	"net/netip"
	"time"

	"github.com/ftpgate/ftpgate/firewall"
)

// withGateway is the frame of a router for the LAN.
func (s *subject) withGateway() firewall.Frame {
	f := s.frame()
	f.Gateway = firewall.Gateway{LAN: []string{lan, opt}, WAN: []string{wan}, Forward: true, Masquerade: true}
	return f
}

// gateway: on a host without any rules the LAN gets out, translated, and what comes from the WAN needs a pinhole.
func gateway(s *subject) {
	before := s.snapshot()
	b := s.backend()
	s.must("installing", b.Install(s.withGateway()))
	s.quiet(b)
	e := s.listen(s.server, s.serverAddr(), 4001)
	inside := s.listen(s.client, s.clientAddr(), 4100)
	client := port(s.clientAddr(), 0)
	s.goesOut(e, true)
	s.comesIn("what nobody has admitted", inside.addr, false)

	inwards := s.hole(inside.addr, func(h *firewall.Hole) { h.Interface, h.Source = wan, s.serverAddr() })
	s.open(b, inwards)
	s.comesIn("by a pinhole", inside.addr, true)
	s.comesIn("by a pinhole that is spent", inside.addr, false)
	routed := s.hole(e.addr)
	s.open(b, routed)
	s.admitted(client, e.addr, e, client) // what a pinhole has admitted is not masqueraded
	s.shut(b, routed, inwards)

	s.must("installing a frame without a gateway", b.Install(s.frame()))
	s.quiet(b)
	s.goesOut(e, false)
	s.comesIn("to a host that is open by itself", inside.addr, true)
	s.must("installing the gateway again", b.Install(s.withGateway()))
	s.quiet(b)
	s.comesIn("what nobody has admitted, again", inside.addr, false)
	s.must("removing", b.Remove())
	if after := s.snapshot(); after != before {
		s.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// gatewayOfStrictHost: where the host denies everything the LAN gets out as well, but for what a rule of the host drops,
// also one that is added later.
func gatewayOfStrictHost(s *subject) {
	s.rules.deny()
	before := s.snapshot()
	b := s.backend()
	s.must("installing", b.Install(s.withGateway()))
	e := s.listen(s.server, s.serverAddr(), 4001)
	forbidden := s.listen(s.server, s.serverAddr(), 4002)
	inside := s.listen(s.client, s.clientAddr(), 4100)
	s.goesOut(e, true)
	s.goesOut(forbidden, true)
	s.comesIn("what nobody has admitted", inside.addr, false)
	undo := s.rules.dropLast(forbidden.addr)
	found, err := b.Verify(nil)
	s.must("verifying", err)
	if len(found.Followed) == 0 || len(found.Repaired) > 0 {
		s.Errorf("a rule of the host that comes after ours: %+v", found)
	}
	s.refused("what the host forbids", port(s.clientAddr(), 0), forbidden.addr)
	s.goesOut(e, true)
	s.quiet(b)
	undo()
	s.must("removing", b.Remove())
	if after := s.snapshot(); after != before {
		s.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// repairGateway: what another program does to the rules of a gateway is found and undone.
func repairGateway(s *subject) {
	s.rules.deny()
	b := s.backend()
	s.must("installing", b.Install(s.withGateway()))
	e := s.listen(s.server, s.serverAddr(), 4001)
	public := port(s.wanAddr(), 50001)
	h := s.hole(public, func(h *firewall.Hole) { h.Target, h.SourceAs, h.Expires = e.addr, s.wanAddr(), time.Now().Add(4*life) })
	s.open(b, h)
	for _, damage := range s.allDamages() {
		damage.do()
		found, err := b.Verify([]firewall.Hole{h})
		s.must("repairing after "+damage.name, err)
		if !found.Any() {
			s.Errorf("after %s Verify found nothing wrong", damage.name)
		}
		s.quiet(b, h)
		s.rules.ensureDenied()
		s.goesOut(e, true)
	}
}

// goesOut demands that the client reaches a server, and that its address is translated or not.
func (s *subject) goesOut(e *echo, translated bool) {
	s.Helper()
	conn, err := s.dial(dialling{from: port(s.clientAddr(), 0), wait: admittedWait}, e.addr)
	if err != nil {
		s.Fatalf("out to %s: %v", e.addr, err)
	}
	defer conn.Close()
	s.alive(conn)
	came := (<-e.came).Addr()
	if is := came == s.wanAddr() || came == s.wanOther(); is != translated || !is && came != s.clientAddr() {
		s.Errorf("%s sees %s; translated should be %t", e.addr, came, translated)
	}
}

// comesIn tries a connection from the host on the WAN.
func (s *subject) comesIn(what string, to netip.AddrPort, admitted bool) {
	s.Helper()
	wait := refusedWait
	if admitted {
		wait = admittedWait
	}
	begin := time.Now()
	var conn net.Conn
	err := within(s.server, func() (err error) {
		conn, err = net.DialTimeout("tcp", to.String(), wait)
		return err
	})
	if err == nil {
		conn.Close()
	}
	if (err == nil) != admitted {
		s.Errorf("%s: a connection from the WAN to %s: %v after %s, admitted should be %t", what, to, err, time.Since(begin), admitted)
	}
}
