package firewall

// Two holes may admit the same connection (a client announces one port in two sessions, a server one port twice), but a
// rule of translation reads only addresses and the destination port: it cannot tell them apart. So they must agree in
// where they lead.

func (p Pinhole) ways() [2]way {
	return [2]way{
		{source: p.Source, destination: p.Destination},
		{source: p.Source, destination: p.Onward(), onward: true},
	}
}

// conflicts tells whether p would be led astray by a hole that is open or waiting. The caller holds m.mu.
func (m *Manager) conflicts(p Pinhole) bool {
	w := p.ways()
	dnat, snat := m.ways[w[0]], m.ways[w[1]]
	return dnat != nil && dnat.to != p.Onward() || snat != nil && snat.as != p.SourceAs
}

// enter counts p among the holes that are open or waiting.
func (m *Manager) enter(p Pinhole) {
	for _, w := range p.ways() {
		l := m.ways[w]
		if l == nil {
			l = &lead{to: p.Onward(), as: p.SourceAs}
			m.ways[w] = l
		}
		l.uses++
	}
}

// exit undoes enter.
func (m *Manager) exit(p Pinhole) {
	for _, w := range p.ways() {
		if l := m.ways[w]; l != nil {
			if l.uses--; l.uses == 0 {
				delete(m.ways, w)
			}
		}
	}
}

// inTheWay splits shuts into those whose rules would catch a connection of one of the holes, and the rest.
func inTheWay(holes []Hole, shuts []ending) (blocking []Hole, rest []ending) {
	if len(shuts) == 0 {
		return nil, nil
	}
	wanted := make(map[way]bool, 2*len(holes))
	for _, h := range holes {
		for _, w := range h.ways() {
			wanted[w] = true
		}
	}
	for _, s := range shuts {
		w := s.hole.ways()
		if wanted[w[0]] || wanted[w[1]] {
			blocking = append(blocking, s.hole)
		} else {
			rest = append(rest, s)
		}
	}
	return blocking, rest
}
