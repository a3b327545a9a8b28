package proxy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/ftpgate/ftpgate/proxy/policy"
)

// keptTurnedAway bounds what is kept of connections that got no session, by
// client and reason. They are kept apart from transfers, so that nobody who is
// refused a thousand times pushes another one's failure out.
const keptTurnedAway = 100

// TurnedAway are the connections of one client that got no session for one
// reason.
type TurnedAway struct {
	Client      netip.Prefix // one address; of IPv6 its /64
	Rule        string       // "" where none was found
	Reason      policy.Reason
	Count       uint64
	First, Last time.Time
	// Of the last one:
	From, Dialled netip.AddrPort
	Reply         string // "421 ..."
	Sentence      string // why
}

// turnedAway are the last of them, in no order.
type turnedAway []TurnedAway

// add counts a connection. A client that is new takes the place of the one that
// came last the longest ago, among those of the reason that has most: many
// strangers without a rule do not hide that a server is down.
func (all *turnedAway) add(t TurnedAway) {
	same := func(o TurnedAway) bool { return o.Client == t.Client && o.Rule == t.Rule && o.Reason == t.Reason }
	if i := slices.IndexFunc(*all, same); i >= 0 {
		t.Count, t.First = (*all)[i].Count+1, (*all)[i].First
		(*all)[i] = t
		return
	}
	t.Count, t.First = 1, t.Last
	if len(*all) < keptTurnedAway {
		*all = append(*all, t)
		return
	}
	counts := make(map[policy.Reason]int)
	for _, o := range *all {
		counts[o.Reason]++
	}
	most := slices.Max(slices.Collect(maps.Values(counts)))
	oldest := -1
	for i, o := range *all {
		if counts[o.Reason] == most && (oldest < 0 || o.Last.Before((*all)[oldest].Last)) {
			oldest = i
		}
	}
	(*all)[oldest] = t
}

// TurnedAway are the last connections that got no session, by client and reason,
// the newest first.
func (g *Server) TurnedAway() []TurnedAway {
	j := &g.journal
	j.mu.Lock()
	all := slices.Clone(j.turned)
	j.mu.Unlock()
	slices.SortFunc(all, func(a, b TurnedAway) int { return b.Last.Compare(a.Last) })
	return all
}

// turn takes a refused connection in.
func (j *journal) turn(a policy.Arrival, rule string, r *policy.Refusal) {
	j.refuse(r.Reason)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.turned.add(TurnedAway{
		Client: hostUnder(rule, a.Client.Addr()).client, Rule: rule, Reason: r.Reason, Last: time.Now(),
		From: a.Client, Dialled: a.Dialled, Reply: string(trimLine(replyLine(r))), Sentence: explainTurnedAway(r),
	})
}

// explainTurnedAway says why a connection got no session, and where to look.
func explainTurnedAway(r *policy.Refusal) string {
	switch r.Reason {
	case policy.NoRule:
		return fmt.Sprintf("There is %s: of each rule the direction, clients, servers or ports are others.", r.Why)
	case policy.SessionLimit:
		return fmt.Sprintf("There are too many sessions: %s.", r.Why)
	case policy.Unreachable:
		return fmt.Sprintf("The server cannot be reached from this router: %s.", r.Why)
	case policy.UnknownWay:
		return fmt.Sprintf("It came by a way that the configuration does not name: %s.", r.Why)
	case policy.Stopping:
		return "The gateway was stopping."
	}
	return fmt.Sprintf("ftpgate could not serve it: %s.", r.Why)
}
