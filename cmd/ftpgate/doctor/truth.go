package doctor

// truth is whether a condition holds for all the packets that a packet stands for. The order is that of doubt: what is
// joined is as doubtful as its most doubtful part.
type truth uint8

const (
	no     truth = iota
	yes          //
	few          // for a small part of their ports
	some         // for some of their addresses
	unsure       // it cannot be told
)

func (t truth) and(o truth) truth {
	if t == no || o == no {
		return no
	}
	return max(t, o)
}

func (t truth) or(o truth) truth {
	if t == yes || o == yes {
		return yes
	}
	return max(t, o)
}

func (t truth) not() truth {
	switch t {
	case no, few: // few: nearly all of them
		return yes
	case yes:
		return no
	}
	return t
}

func either(b bool) truth {
	if b {
		return yes
	}
	return no
}

// condition is one match of a rule.
type condition func(*packet) truth

func always(t truth) condition { return func(*packet) truth { return t } }

func not(c condition) condition { return func(p *packet) truth { return c(p).not() } }

func anyOf(cs []condition) condition {
	return func(p *packet) truth {
		t := no
		for _, c := range cs {
			t = t.or(c(p))
		}
		return t
	}
}

func allOf(cs []condition) condition {
	return func(p *packet) truth {
		t := yes
		for _, c := range cs {
			t = t.and(c(p))
		}
		return t
	}
}
