//go:build kernel

package firewalltest

import (
	"sync"
	"time"

	"github.com/ftpgate/ftpgate/firewall"
)

// oneConnection: a pinhole stays spent whatever is done to others.
func oneConnection(s *subject) {
	b := s.installed()
	e := s.listen(s.server, s.serverAddr(), 4001)
	client := port(s.clientAddr(), 0)
	h := s.hole(e.addr)
	s.open(b, h)
	s.admitted(client, e.addr, e, client)
	s.refused("a second connection", client, e.addr)

	others := []firewall.Hole{s.hole(port(s.serverAddr(), 4005)), s.hole(port(s.serverAddr(), 4006))}
	s.open(b, others...)
	s.refused("a second connection after another pinhole was opened", client, e.addr)
	s.shut(b, others[0])
	s.refused("a second connection after another pinhole was shut", client, e.addr)
	s.quiet(b, h, others[1])
	s.must("installing again", b.Install(s.frame()))
	s.refused("a second connection after another Install", client, e.addr)

	again := s.hole(e.addr)
	s.must("replacing", b.Apply([]firewall.Hole{again}, []firewall.Hole{h}))
	s.admitted(client, e.addr, e, client)
	s.refused("a second connection to the second pinhole", client, e.addr)
	s.quiet(b, again, others[1])
}

// atOnce: of connections that begin at the same moment, on several processors, one is admitted.
func atOnce(s *subject) {
	const rounds, tries = 12, 8
	b := s.installed()
	e := s.listen(s.server, s.serverAddr(), 4001)
	for i := range rounds {
		public := port(s.wanAddr(), uint16(50000+i))
		s.open(b, s.hole(public, func(h *firewall.Hole) { h.Target = e.addr }))
		var all sync.WaitGroup
		for range tries {
			all.Go(func() {
				if conn, err := s.dial(dialling{from: port(s.clientAddr(), 0), wait: refusedWait}, public); err == nil {
					conn.Close()
				}
			})
		}
		all.Wait()
		select {
		case <-e.came:
		case <-time.After(ioWait):
			s.Error("of connections that began at once none was admitted")
		}
		if n := len(e.came); n > 0 {
			s.Fatalf("of %d connections that began at once %d were admitted", tries, n+1)
		}
	}
}

// alike: a client may ask twice for one and the same connection, in two sessions; it is admitted as often, each time for
// as long as its own pinhole stands.
func alike(s *subject) {
	b := s.installed()
	e := s.listen(s.server, s.serverAddr(), 4001)
	client := port(s.clientAddr(), 0)
	public := port(s.wanAddr(), 50001)
	to := func(h *firewall.Hole) { h.Target = e.addr }
	var holes []firewall.Hole
	for i := range 4 {
		holes = append(holes, s.hole(public, to, func(h *firewall.Hole) { h.Expires = h.Expires.Add(time.Duration(i) * time.Second) }))
	}
	s.open(b, holes[:3]...)
	s.open(b, holes[3])
	s.quiet(b, holes...)
	s.admitted(client, public, e, client)
	s.shut(b, holes[0], holes[3])
	s.quiet(b, holes[1:3]...)
	s.must("installing again", b.Install(s.frame()))
	s.admitted(client, public, e, client)
	s.shut(b, holes[1:3]...)
	s.refused("after all were shut", client, public)
	s.quiet(b)
}
