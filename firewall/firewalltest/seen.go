//go:build kernel

package firewalltest

import "github.com/ftpgate/ftpgate/firewall"

// refusedGroup is a group of NFLOG that nobody reads here.
const refusedGroup = 7021

// Seen is the firewall.Counter of a backend in its namespace.
func (i inside) Seen(h firewall.Hole) (packets uint64, known bool, err error) {
	err = within(i.ns, func() (err error) {
		packets, known, err = i.Backend.(firewall.Counter).Seen(h)
		return err
	})
	return packets, known, err
}

// seen: the gate counts what comes, also what the host drops further on.
func seen(s *subject) {
	b := s.installed()
	counter := b.(firewall.Counter)
	expect := func(what string, h firewall.Hole, least, most uint64) {
		s.Helper()
		packets, known, err := counter.Seen(h)
		s.must("asking what has come", err)
		if !known || packets < least || packets > most {
			s.Errorf("%s: %d packets, known %v, instead of %d to %d", what, packets, known, least, most)
		}
	}
	e := s.listen(s.server, s.serverAddr(), 4001)
	client := port(s.clientAddr(), 0)
	h, other := s.hole(e.addr), s.hole(port(s.serverAddr(), 4002))
	s.open(b, h, other)
	expect("nothing came", h, 0, 0)
	s.admitted(client, e.addr, e, client)
	expect("the connection came", h, 1, 1)
	expect("another pinhole", other, 0, 0)
	s.refused("a second connection", client, e.addr)
	expect("a second connection came", h, 1, 100)
	s.shut(b, h)
	if packets, known, err := counter.Seen(h); known || err != nil {
		s.Errorf("after it was shut: %d, known %v, %v", packets, known, err)
	}
	s.rules.dropBefore(other.Destination)
	s.refused("what the host drops before our line", client, other.Destination)
	expect("it came and was dropped", other, 1, 100)
}
