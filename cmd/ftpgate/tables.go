package main

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"

	"github.com/ftpgate/ftpgate/proxy/status"
)

// writeStatus is ftpgate status.
func writeStatus(b *bytes.Buffer, s status.StatusJSON) {
	state := "ready"
	if !s.Ready {
		state = "NOT READY: " + visible(s.NotReady)
	}
	fmt.Fprintf(b, "ftpgate %s, up %s, %s\n\n", visible(s.Version), lasted(s.Uptime), state)
	rows := [][]string{
		{"backend", fmt.Sprintf("%s (%s)", cmp.Or(s.Backend, "none yet"), cmp.Or(s.BackendWhy, "not chosen yet"))},
		{"sessions", fmt.Sprintf("%d; transfers that run: %d", s.Sessions, s.Running)},
		{"pinholes", fmt.Sprintf("%d wait; %d opened: %d used, %d expired, %d given up; %d could not be opened",
			s.Pinholes.Open, s.Pinholes.Opened, s.Pinholes.Used, s.Pinholes.Expired, s.Pinholes.Released, s.Pinholes.Failed)},
		{"ports", fmt.Sprintf("%d of %d lent, %d resting; none was free %d times", s.Ports.Lent, s.Ports.Size, s.Ports.Resting, s.Ports.Refused)},
		{"repairs", fmt.Sprint(s.Repairs)},
	}
	if s.LastError != "" {
		rows = append(rows, []string{"last error", visible(s.LastError)})
	}
	reloads := fmt.Sprintf("%d, and %d refused", s.Reloads, s.FailedReloads)
	if s.Reloaded != nil {
		reloads += "; last " + s.Reloaded.Local().Format("2006-01-02 15:04:05")
	}
	rows = append(rows, []string{"reloads", reloads})
	if s.ReloadError != "" {
		rows = append(rows, []string{"", "refused: " + visible(s.ReloadError)})
	}
	if a := s.Audit; a.Written > 0 || a.Lost > 0 || a.Error != "" {
		rows = append(rows, []string{"audit", strings.TrimSpace(fmt.Sprintf("%d records, %d lost %s", a.Written, a.Lost, visible(a.Error)))})
	}
	table(b, rows)
	b.WriteString("\n")
	table(b, interfaceRows(s.Interfaces))
	b.WriteString("\n")
	table(b, ruleRows(s.Rules))
	if len(s.TurnedAway) > 0 {
		b.WriteString("\n")
		writeTurnedAway(b, s.TurnedAway)
	}
	for i, w := range s.Warnings {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(b, "warning: %s\n", visible(w))
	}
}

func interfaceRows(all []status.Interface) [][]string {
	rows := [][]string{{"INTERFACE", "SIDE", "STATE", "ADDRESSES"}}
	for _, i := range all {
		state := "down"
		switch {
		case !i.Present:
			state = "absent"
		case i.Up:
			state = "up"
		}
		rows = append(rows, []string{i.Name, i.Side, state, strings.Join(i.Addresses, " ")})
	}
	return rows
}

func ruleRows(all []status.RuleJSON) [][]string {
	rows := [][]string{{"RULE", "DIRECTION", "PORTS", "SESSIONS", "BEGUN", "TRANSFERS", "FAILED", "CARRIED"}}
	for _, r := range all {
		ports := strings.Trim(fmt.Sprint(r.Ports), "[]")
		rows = append(rows, []string{r.Name, r.Direction, ports, fmt.Sprintf("%d of %d", r.Sessions, r.Limit), fmt.Sprint(r.Begun), fmt.Sprint(r.Done),
			fmt.Sprint(r.Failed), size(r.Bytes)})
	}
	return rows
}

// shownTurnedAway bounds the clients in the whole view; --json has all that are kept.
const shownTurnedAway = 10

// writeTurnedAway shows who got no session, and why.
func writeTurnedAway(b *bytes.Buffer, all []status.AwayJSON) {
	rows := [][]string{{"TURNED AWAY", "DIALLED", "RULE", "REASON", "TIMES", "LAST"}}
	var notes []note
	for _, t := range all[:min(len(all), shownTurnedAway)] {
		rows = append(rows, []string{t.Client, t.Dialled, cmp.Or(t.Rule, "-"), t.Reason, fmt.Sprint(t.Count), t.Last.Local().Format("2006-01-02 15:04:05")})
		notes = append(notes, note{sentence: t.Diagnosis})
	}
	noted(b, rows, notes)
	if more := len(all) - shownTurnedAway; more > 0 {
		fmt.Fprintf(b, "and %d more: ftpgate status --json | jq .turned_away\n", more)
	}
}

// writeSessions is ftpgate status sessions. A transfer that waits is followed by what
// keeps its data away, if that is known.
func writeSessions(b *bytes.Buffer, v status.SessionsJSON) {
	if len(v.Sessions) == 0 {
		b.WriteString("no sessions\n")
		return
	}
	rows := [][]string{{"SESSION", "RULE", "USER", "CLIENT", "SEEN AS", "SERVER", "TRANSFER", "CARRIED", "IDLE"}}
	notes := make([]note, len(v.Sessions))
	for i, s := range v.Sessions {
		user := visible(s.User)
		if user == "" {
			user = "-"
		} else if !s.LoggedIn {
			user += " (no login)"
		}
		rows = append(rows, []string{fmt.Sprint(s.ID), s.Rule, user, s.Client, cmp.Or(s.SeenAs, "-"), s.Server, doing(s), size(s.Bytes), lasted(s.Idle)})
		if s.Transfer != nil {
			notes[i] = note{s.Transfer.Diagnosis, s.Transfer.Evidence}
		}
	}
	noted(b, rows, notes)
}

// doing is what a session is about.
func doing(s status.SessionJSON) string {
	switch {
	case s.Transfer != nil && s.Pinhole != "":
		return what(*s.Transfer) + ": awaits its data connection"
	case s.Transfer != nil:
		rate := ""
		if s.Transfer.Duration >= 1 {
			rate = ", " + size(uint64(float64(s.Transfer.Bytes)/s.Transfer.Duration)) + "/s"
		}
		return fmt.Sprintf("%s: %s%s", what(*s.Transfer), size(s.Transfer.Bytes), rate)
	case s.Pinhole != "":
		return "awaits a data connection"
	case s.TLS:
		return "TLS, unread"
	}
	return "-"
}

// what is the command of a transfer.
func what(t status.TransferJSON) string { return strings.TrimSpace(t.Verb + " " + visible(t.Path)) }

// writePinholes is ftpgate status pinholes. Those that have waited for a while are
// followed by what is known so far.
func writePinholes(b *bytes.Buffer, v status.PinholesJSON) {
	if len(v.Pinholes) == 0 {
		b.WriteString("no pinhole waits for a connection\n")
		return
	}
	rows := [][]string{{"PINHOLE", "SESSION", "STATE", "BY", "FROM", "TO", "LED TO", "SEEN THERE AS", "WAITED", "CLOSES IN"}}
	notes := make([]note, len(v.Pinholes))
	for i, h := range v.Pinholes {
		from := h.Source
		if h.SourcePort != 0 {
			from += fmt.Sprintf(" port %d", h.SourcePort)
		}
		waited, left := lasted(h.Waited), lasted(h.Expires)
		if h.State == status.HoleUsed {
			waited, left = "-", "-"
		}
		rows = append(rows, []string{fmt.Sprint(h.ID), fmt.Sprint(h.Session), h.State, h.Interface, from, h.Destination, cmp.Or(h.Target, "-"),
			cmp.Or(h.SourceAs, "-"), waited, left})
		notes[i] = note{h.Diagnosis, h.Evidence}
	}
	noted(b, rows, notes)
}

// note is what follows a row of a table.
type note struct {
	sentence string
	evidence []string
}

// noted writes a table, each row but the head with its note.
func noted(b *bytes.Buffer, rows [][]string, notes []note) {
	var lines bytes.Buffer
	table(&lines, rows)
	for i, line := range strings.Split(strings.TrimSuffix(lines.String(), "\n"), "\n") {
		b.WriteString(line + "\n")
		if i == 0 || notes[i-1].sentence == "" {
			continue
		}
		fmt.Fprintf(b, "    %s\n", visible(notes[i-1].sentence))
		for _, e := range notes[i-1].evidence {
			fmt.Fprintf(b, "      %s\n", visible(e))
		}
	}
}

// writeTransfers is ftpgate status transfers. Those that did not happen are
// followed by the reason; with --failed by the evidence as well.
func writeTransfers(b *bytes.Buffer, v status.TransfersJSON, evidence bool) {
	if len(v.Transfers) == 0 {
		b.WriteString("no transfers\n")
		return
	}
	rows := [][]string{{"TIME", "SESSION", "RULE", "USER", "CLIENT", "SERVER", "WHAT", "MODE", "BYTES", "TOOK", "RESULT"}}
	notes := make([]note, len(v.Transfers))
	for i, t := range v.Transfers {
		rows = append(rows, []string{t.Time.Local().Format("15:04:05"), fmt.Sprint(t.Session), t.Rule, cmp.Or(visible(t.User), "-"), t.Client, t.Server, what(t), t.Mode,
			size(t.Bytes), lasted(t.Duration), cmp.Or(t.Cause, t.Result)})
		if notes[i] = (note{t.Diagnosis, t.Evidence}); !evidence {
			notes[i].evidence = nil
		}
	}
	noted(b, rows, notes)
}
