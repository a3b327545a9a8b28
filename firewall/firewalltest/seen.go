//go:build kernel

package firewalltest

import "github.com/ftpgate/ftpgate/firewall"

// refusedGroup is a group of NFLOG that nobody reads here.
const refusedGroup = 7021

// Seen is the firewall.Counter of a backend in its namespace.
func (i inside) Seen(holes ...firewall.Hole) (packets map[uint64]uint64, err error) {
	err = within(i.ns, func() (err error) {
		packets, err = i.Backend.(firewall.Counter).Seen(holes...)
		return err
	})
	return packets, err
}

// seen: the gate counts what comes, also what the host drops further on, and of several holes each for itself.
func seen(s *subject) {
	b := s.installed()
	counter := b.(firewall.Counter)
	expect := func(what string, h firewall.Hole, least, most uint64) {
		s.Helper()
		all, err := counter.Seen(h)
		s.must("asking what has come", err)
		packets, known := all[h.ID]
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
	if both, err := counter.Seen(other, h); err != nil || len(both) != 2 || both[other.ID] != 0 || both[h.ID] == 0 {
		s.Errorf("asked for two: %v, %v", both, err)
	}
	s.shut(b, h)
	if left, err := counter.Seen(h, other); err != nil || len(left) != 1 || left[other.ID] != 0 {
		s.Errorf("after one was shut: %v, %v", left, err)
	}
	s.rules.dropBefore(other.Destination)
	s.refused("what the host drops before our line", client, other.Destination)
	expect("it came and was dropped", other, 1, 100)
}
