package firewall

import "slices"

// Two holes may admit the same connection (a client announces one port in two sessions, a server one port twice), but a
// rule of translation reads only addresses and the destination port: it cannot tell them apart. So they must agree in
// where they lead, and by which mark.

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
	return dnat != nil && (dnat.to != p.Onward() || dnat.mark != p.Mark) || snat != nil && snat.as != p.SourceAs
}

// enter counts p among the holes that are open or waiting.
func (m *Manager) enter(p Pinhole) {
	for _, w := range p.ways() {
		l := m.ways[w]
		if l == nil {
			l = &lead{to: p.Onward(), as: p.SourceAs, mark: p.Mark}
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

// queue adds an ending to one of the two lists, urgent or spent. The caller holds m.mu.
func (m *Manager) queue(list *[]ending, e ending) {
	*list = append(*list, e)
	for _, w := range e.hole.ways() {
		m.leaving[w]++
	}
}

// inTheWay takes from a list those endings whose rules would catch a connection of one of the holes. As a rule there are
// none, and that must not cost more the longer the list is. The caller holds m.mu.
func (m *Manager) inTheWay(holes []Hole, list *[]ending) (blocking []Hole) {
	wanted := map[way]bool{}
	for _, h := range holes {
		for _, w := range h.ways() {
			if m.leaving[w] > 0 {
				wanted[w] = true
			}
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	*list = slices.DeleteFunc(*list, func(e ending) bool {
		ways := e.hole.ways()
		if !wanted[ways[0]] && !wanted[ways[1]] {
			return false
		}
		blocking = append(blocking, e.hole)
		for _, w := range ways {
			if m.leaving[w]--; m.leaving[w] == 0 {
				delete(m.leaving, w)
			}
		}
		return true
	})
	return blocking
}
