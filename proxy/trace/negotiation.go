package trace

import (
	"net/netip"
	"slices"
	"time"
)

// negotiation is a data connection that the two sides have agreed upon.
type negotiation struct {
	session   *session
	verb      string
	active    bool // the server dials
	since     time.Time
	near, far netip.AddrPort // where the connection goes, as the client and as the server see it; zero: not seen
	ends      []netip.AddrPort
	data      *data // the latest; nil: no SYN has come
	told      bool  // why it did not come about
}

// heard is the place of the data connection, as it was said on a leg. Some announce an address that is not theirs, and
// then their peer dials the one it knows: that is watched as well.
func (n *negotiation) heard(l *leg, end netip.AddrPort) {
	speaker := l.server.Addr()
	if n.active {
		speaker = l.client.Addr()
	}
	if l == n.session.far {
		n.far = end
	} else {
		n.near = end
	}
	for _, e := range []netip.AddrPort{end, netip.AddrPortFrom(speaker, end.Port())} {
		if !slices.Contains(n.ends, e) {
			n.ends = append(n.ends, e)
			n.session.f.ends[e] = n
		}
	}
}

// drop forgets the negotiation. A data connection that has come goes on.
func (n *negotiation) drop() {
	for _, e := range n.ends {
		if n.session.f.ends[e] == n {
			delete(n.session.f.ends, e)
		}
	}
	n.session.negotiations = slices.DeleteFunc(n.session.negotiations, func(o *negotiation) bool { return o == n })
}

// superseded drops a negotiation when there is another, and tells if nothing came of it. One for which a SYN was seen is
// what did not work, whatever the client tries next; one that nobody used may be a change of mind.
func (n *negotiation) superseded() {
	if why := n.why(); why != "" && !n.told {
		n.session.add("%s: %s", n.verb, why)
		if n.data != nil {
			n.session.fail("%s: %s", n.verb, why)
		}
	}
	n.drop()
}

// awaited is where the SYN should have been seen first: where the dialling side was told to connect.
func (n *negotiation) awaited() netip.AddrPort {
	first, second := n.near, n.far
	if n.active {
		first, second = second, first
	}
	if first.IsValid() {
		return first
	}
	return second
}

// why says why no data connection came about, "" if one did.
func (n *negotiation) why() string {
	a := attempt{active: n.active, awaited: n.awaited(), watchedBoth: n.session.twoSides()}
	if d := n.data; d != nil {
		d.describe(&a, n.session.f.now)
	}
	return a.explain()
}

// twoSides says whether both sides of the router are watched.
func (s *session) twoSides() bool { return s.far != nil && s.far.on != s.near.on }

// arrived says whether a flow has reached the side where somebody listens.
func (n *negotiation) arrived(w *flow) bool {
	s := n.session
	if s.far == nil || n.near.IsValid() && n.far.IsValid() && n.near != n.far {
		listener := n.far
		if n.active {
			listener = n.near
		}
		return s.far != nil && w.server == listener
	}
	if n.active {
		return w.on == s.near.on
	}
	return w.on == s.far.on
}
