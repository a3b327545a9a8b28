package trace

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Many sessions may begin at once, and say the same: USER, PASS, TYPE. What tells their connections apart is the order of
// things. A server cannot have got what no client had said by then, and a client cannot have got what no server had said; a
// few lines in both directions leave one session for each connection.

// rival is one of the sessions that may have made a connection to a server.
type rival struct {
	commands int           // of its client, up to the last one that came here
	replies  int           // from here, up to the last one that its client got
	proofs   int           // lines that passed in their order
	took     time.Duration // they together
	out      bool          // it cannot be: another one fits better
}

// rivals are the sessions that may have made l, by all that was seen.
func (f *Follower) rivals(l *leg) []*session {
	return slices.DeleteFunc(f.candidates(l), func(s *session) bool { return l.rival(s).out })
}

func (l *leg) rival(s *session) *rival {
	if l.suspects == nil {
		l.suspects = make(map[*session]*rival)
	}
	if l.suspects[s] == nil {
		l.suspects[s] = new(rival)
	}
	return l.suspects[s]
}

// heardOf finds what was heard among what was said and not heard before.
func heardOf(said []utterance, from int, text string, k kind, now time.Time) (u utterance, next int, found bool) {
	for i := from; i < len(said); i++ {
		u := said[i]
		same := u.text == text || k != kindOther && k != kindTransfer && u.kind == k
		if wait := now.Sub(u.time); same && wait >= 0 && wait <= passTime {
			return u, i + 1, true
		}
	}
	return u, from, false
}

// gotCommand is a command that came to the server of a connection of which it is not known whose it is: it is of a session whose
// client has said it.
func (f *Follower) gotCommand(l *leg, c command) {
	var fit []*session
	all := f.rivals(l)
	for _, s := range all {
		r := l.rival(s)
		u, next, found := heardOf(s.commands.lines, r.commands, c.line, kindOfCommand(c.verb), f.now)
		if found {
			r.commands, r.proofs, r.took = next, r.proofs+1, r.took+f.now.Sub(u.time)
			fit = append(fit, s)
		}
	}
	if len(fit) == 0 {
		return // the gateway's own
	}
	for _, s := range all {
		l.rival(s).out = !slices.Contains(fit, s)
	}
	if len(fit) == 1 {
		f.pair(fit[0], l)
		f.settle()
	} else if end, ok := announced(c); ok {
		l.announce(end)
	}
}

// gaveReply is a reply of the server of such a connection.
func (f *Follower) gaveReply(l *leg, r reply) {
	if len(l.replies) < maxHeld {
		l.replies = append(l.replies, utterance{text: r.text, kind: kindOfReply(r.code), time: f.now})
	}
	if end, ok := passiveEnd(r, l); ok {
		l.announce(end)
	}
}

// announce notes where a data connection will go that is seen before it is known whose it is.
func (l *leg) announce(end netip.AddrPort) {
	if len(l.announced) < maxNegotiations {
		l.announced = append(l.announced, end)
	}
}

// gotReply is a reply that came to a client whose connection to the server is not known: it is one that has said it.
func (f *Follower) gotReply(near *leg, said reply) {
	s := near.session
	if len(f.undecided) == 0 || s == nil || s.near != near || s.proxied || near.shadow {
		return
	}
	var all, fit []*leg
	for _, l := range f.undecided {
		if !slices.Contains(f.rivals(l), s) {
			continue
		}
		all = append(all, l)
		r := l.rival(s)
		u, next, found := heardOf(l.replies, r.replies, said.text, kindOfReply(said.code), f.now)
		if found {
			r.replies, r.proofs, r.took = next, r.proofs+1, r.took+f.now.Sub(u.time)
			fit = append(fit, l)
		}
	}
	if len(fit) == 0 {
		return // the gateway's own
	}
	for _, l := range all {
		l.rival(s).out = !slices.Contains(fit, l)
	}
	if len(fit) == 1 {
		f.pair(s, fit[0])
	}
	f.settle()
}

// settle pairs what has but one session left.
func (f *Follower) settle() {
	for again := true; again; {
		again = false
		for _, l := range slices.Clone(f.undecided) {
			if some := f.rivals(l); len(some) == 1 && (l.rival(some[0]).proofs > 0 || f.o.Own != nil && l.seen) {
				f.pair(some[0], l)
				again = true
			}
		}
	}
}

// guess takes the session that fits best, if there is one of which anything has passed.
func (f *Follower) guess(l *leg) bool {
	var best *session
	for _, s := range f.rivals(l) {
		if l.rival(s).proofs > 0 && (best == nil || l.rival(s).better(l.rival(best))) {
			best = s
		}
	}
	if best == nil {
		return false
	}
	l.doubt = l.heardBy(f.rivals(l), l.rival(best).proofs) - 1
	f.pair(best, l)
	f.settle()
	return true
}

// better prefers what has passed more, and in less time.
func (r *rival) better(than *rival) bool {
	return cmp.Or(-cmp.Compare(r.proofs, than.proofs), cmp.Compare(r.took, than.took)) < 0
}

// heardBy counts the sessions of which so many lines, or more, may have passed.
func (l *leg) heardBy(some []*session, lines int) (n int) {
	for _, s := range some {
		if l.rival(s).proofs >= lines {
			n++
		}
	}
	return n
}

// overdue says whether a connection should have found its session. What several sessions have said alike waits for what they
// say next.
func (f *Follower) overdue(l *leg) bool {
	if l.refused != "" || l.waiting() && f.clock.Sub(l.first) >= silence || f.clock.Sub(l.last) > dialTime || len(l.held) == maxHeld {
		return true
	}
	since := f.clock.Sub(l.greeted)
	return !l.greeted.IsZero() && since > passTime && (since > doubtTime || l.heardBy(f.rivals(l), 1) < 2)
}

// decide says whose a connection is without proof: it belongs to the session that fits best, or to the only one that may
// have made it and got no answer by it, else it is a client's own.
func (f *Follower) decide(l *leg) {
	if f.guess(l) {
		return
	}
	f.undecided = slices.DeleteFunc(f.undecided, func(o *leg) bool { return o == l })
	if some := f.rivals(l); len(some) == 1 && l.seen && l.greeted.IsZero() {
		f.pair(some[0], l)
		return
	}
	f.begin(l)
}
