package status

import (
	"net/netip"
	"time"

	"github.com/ftpgate/ftpgate/proxy"
)

func statusOf(s Source) StatusJSON {
	g, sessions, holes, ports := s.Gateway(), s.SessionStats(), s.FirewallStats(), s.PortStats()
	v := StatusJSON{
		Version: g.Version, Began: g.Began.UTC(), Uptime: time.Since(g.Began).Seconds(), Ready: g.Ready, NotReady: g.NotReady,
		Backend: g.Backend, BackendWhy: g.BackendWhy, Interfaces: some(g.Interfaces), Rules: rulesOf(g.Rules, sessions),
		Ports:    PortsJSON{Size: ports.Size, Lent: ports.Lent, Resting: ports.Resting, Refused: ports.Refused},
		Pinholes: HolesJSON{Open: holes.Open, Opened: holes.Opened, Used: holes.Used, Expired: holes.Expired, Released: holes.Released, Failed: holes.Failed},
		Repairs:  holes.Repairs + g.RouteRepairs, LastError: holes.LastError,
		Reloads: g.Reloads, FailedReloads: g.FailedReloads, ReloadError: g.ReloadError,
		Audit:      AuditJSON(g.Audit),
		Warnings:   some(s.Warnings()),
		TurnedAway: []AwayJSON{},
	}
	for _, t := range s.TurnedAway() {
		v.TurnedAway = append(v.TurnedAway, awayOf(t))
	}
	if !g.Reloaded.IsZero() {
		at := g.Reloaded.UTC()
		v.Reloaded = &at
	}
	for _, n := range sessions.Active {
		v.Sessions += n
	}
	_, v.Running = s.Carried()
	return v
}

// some is never null in JSON.
func some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// rulesOf are the rules of the configuration; counters of rules that a reload
// has removed are in the metrics alone.
func rulesOf(rules []Rule, s proxy.Stats) []RuleJSON {
	all := make([]RuleJSON, len(rules))
	for i, r := range rules {
		v := RuleJSON{Name: r.Name, Direction: r.Direction, Ports: some(r.Ports), Limit: r.Limit, Sessions: s.Active[r.Name], Begun: s.Begun[r.Name]}
		for class, n := range s.Transfers {
			switch {
			case class.Rule != r.Name:
				continue
			case class.Result == proxy.Done:
				v.Done += n.Transfers
			default:
				v.Failed += n.Transfers
			}
			v.Bytes += n.Bytes
		}
		all[i] = v
	}
	return all
}

func sessionOf(s proxy.Session) SessionJSON {
	v := SessionJSON{
		ID: s.ID, Rule: s.Rule, Direction: s.Direction, User: s.User, LoggedIn: s.LoggedIn,
		Client: text(s.Client), Dialled: text(s.Dialled), SeenAs: text(s.SeenAs), Server: text(s.Server),
		ClientInterface: s.ClientVia, ServerInterface: s.ServerVia, Began: s.Began.UTC(), Idle: max(time.Since(s.Heard), 0).Seconds(),
		TLS: s.TLS, Transfers: s.Transfers, Failed: s.Failed, Bytes: s.Bytes, Pinhole: s.Pinhole,
	}
	if s.Transfer != nil {
		t := transferOf(*s.Transfer)
		v.Transfer = &t
	}
	return v
}

func transferOf(t proxy.Transfer) TransferJSON {
	return TransferJSON{
		Session: t.Session, Time: t.Began.UTC(), Duration: t.Duration.Seconds(), Rule: t.Rule, Direction: t.Direction, User: t.User,
		Client: text(t.Client), Server: text(t.Server), Verb: t.Verb, Path: t.Path, Kind: string(t.Kind), Mode: string(t.Mode),
		Bytes: t.Bytes, Result: string(t.Result), Reply: t.Reply, Cause: string(t.Cause), Diagnosis: t.Sentence, Evidence: t.Evidence,
	}
}

func pinholeOf(h proxy.Pinhole) PinholeJSON {
	v := PinholeJSON{
		ID: h.ID, Session: h.Session, State: HoleWaits, Interface: h.Interface, Source: h.Source.String(), SourcePort: h.SourcePort,
		Destination: h.Destination.String(), Target: text(h.Target), Waited: h.Waited.Seconds(), Expires: max(time.Until(h.Expires), 0).Seconds(),
		Cause: string(h.Cause), Diagnosis: h.Sentence, Evidence: h.Evidence,
	}
	if h.Used {
		v.State, v.Expires = HoleUsed, 0
	}
	if h.SourceAs.IsValid() {
		v.SourceAs = h.SourceAs.String()
	}
	return v
}

func awayOf(t proxy.TurnedAway) AwayJSON {
	v := AwayJSON{
		Client: t.Client.String(), From: text(t.From), Dialled: text(t.Dialled), Rule: t.Rule, Reason: string(t.Reason), Count: t.Count,
		First: t.First.UTC(), Last: t.Last.UTC(), Reply: t.Reply, Diagnosis: t.Sentence,
	}
	if t.Client.IsSingleIP() {
		v.Client = t.Client.Addr().String()
	}
	return v
}

// text is "" for what is not there.
func text(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
