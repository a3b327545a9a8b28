package doctor

// maxDepth bounds jumps from chain to chain; the kernel allows 16.
const maxDepth = 16

// met is a rule, or the policy of a chain, that does something to a packet.
type met struct {
	root   *chain // the base chain
	chain  *chain // that or one to which it leads
	rule   *rule  // nil: the policy
	packet *packet
	effect effectKind // 0: it drops
	match  truth      // whether the packet matches, which may be doubtful
	before truth      // whether it comes so far: yes, or what doubts an earlier rule brought that may have accepted it
	passed *rule      // that rule
}

// walker leads one packet through one base chain.
type walker struct {
	packet *packet
	base   *chain
	before truth
	passed *rule
	mets   []met
}

// walk returns what the packet meets in a base chain. extra are rules that will stand there: in the first place, or before
// the first one that may drop.
func walk(p *packet, c *chain, extra []*rule, first bool) []met {
	w := walker{packet: p, base: c, before: yes}
	if end := w.rules(c, extra, first, 0); end == goesOn && c.drops {
		w.note(met{chain: c, match: yes})
	}
	return w.mets
}

func (w *walker) note(m met) {
	m.root, m.packet, m.before, m.passed = w.base, w.packet, w.before, w.passed
	w.mets = append(w.mets, m)
}

// doubt remembers that the packet may have left before.
func (w *walker) doubt(t truth, r *rule) {
	if t == few || t == yes {
		return // the other ports come on
	}
	if t > w.before || w.passed == nil {
		w.before, w.passed = max(w.before, t), r
	}
}

// rules returns accepts or drops if the packet surely ends in the chain, else goesOn.
func (w *walker) rules(c *chain, extra []*rule, first bool, depth int) verdict {
	if depth > maxDepth {
		return goesOn
	}
	list := c.rules
	if len(extra) > 0 {
		list = inserted(list, extra, first)
	}
	for _, r := range list {
		t := w.matches(r)
		if t == no {
			continue
		}
		switch r.verdict {
		case accepts:
			if t == yes {
				return accepts
			}
			w.doubt(t, r)
		case drops, mayDrop:
			if r.verdict == mayDrop {
				t = unsure
			}
			w.note(met{chain: c, rule: r, match: t})
			if t == yes {
				return drops
			}
		case returns:
			if t == yes {
				return goesOn
			}
			w.doubt(t, r)
		case jumps, leaps:
			if end := w.jump(r, t, depth); end != goesOn || r.verdict == leaps && t == yes {
				return end
			}
		}
	}
	return goesOn
}

// jump follows a rule to its chain. If it is doubtful whether the packet goes there, so is all that it meets there.
func (w *walker) jump(r *rule, t truth, depth int) verdict {
	to := r.chain.chains[r.target]
	if to == nil {
		return goesOn
	}
	if t == yes {
		return w.rules(to, nil, false, depth+1)
	}
	inner := walker{packet: w.packet, base: w.base, before: w.before, passed: w.passed}
	end := inner.rules(to, nil, false, depth+1)
	for _, m := range inner.mets {
		m.match = m.match.and(t)
		w.mets = append(w.mets, m)
	}
	if end == accepts {
		w.doubt(t, r)
	}
	return goesOn
}

// matches evaluates the conditions and notes the effects.
func (w *walker) matches(r *rule) truth {
	t := yes
	for i := 0; ; i++ {
		for _, e := range r.effects {
			if e.when == i && t != no && !r.ours {
				w.note(met{chain: r.chain, rule: r, effect: e.kind, match: t})
			}
		}
		if i == len(r.when) || t == no {
			return t
		}
		t = t.and(r.when[i](w.packet))
	}
}

// inserted puts our lines where the backends put them.
func inserted(list, extra []*rule, first bool) []*rule {
	at := 0
	for ; !first && at < len(list); at++ {
		if list[at].leadsToDrop(map[string]bool{}) {
			break
		}
	}
	out := append([]*rule{}, list[:at]...)
	return append(append(out, extra...), list[at:]...)
}
