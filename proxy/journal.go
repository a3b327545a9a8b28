package proxy

import (
	"maps"
	"slices"
	"sync"

	"github.com/ftpgate/ftpgate/proxy/policy"
)

const (
	// keptFailures and keptSuccesses bound the accounts that are kept for the
	// administrator. Whoever is asked "why did it fail this morning?" must not
	// find that a mirror has pushed the failure out.
	keptFailures  = 500
	keptSuccesses = 200
	// keptPath bounds what is kept of a path or a reply, in bytes.
	keptPath = 1024
)

// journal keeps the accounts of the last transfers and the numbers of all. Its
// lock is taken once for each transfer and each refusal, never for a line.
type journal struct {
	mu        sync.Mutex
	lastID    uint64
	failures  ring
	successes ring
	begun     map[string]uint64
	refusals  map[policy.Reason]uint64
	turned    turnedAway
	transfers map[TransferClass]TransferCount
	causes    map[Cause]uint64
}

// entry is an account with its place in the order of all.
type entry struct {
	id uint64
	Transfer
}

// ring holds the newest entries.
type ring struct {
	entries []entry
	oldest  int
}

func (r *ring) add(e entry, most int) {
	if len(r.entries) < most {
		r.entries = append(r.entries, e)
		return
	}
	r.entries[r.oldest] = e
	r.oldest = (r.oldest + 1) % most
}

// record takes an account in, and returns its number.
func (j *journal) record(t Transfer) (id uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lastID++
	class := TransferClass{t.Rule, t.Kind, t.Mode, t.Result}
	if j.transfers == nil {
		j.transfers, j.causes = make(map[TransferClass]TransferCount), make(map[Cause]uint64)
	}
	count := j.transfers[class]
	count.Transfers++
	count.Bytes += t.Bytes
	j.transfers[class] = count
	t.Path, t.Reply = t.Path[:min(len(t.Path), keptPath)], t.Reply[:min(len(t.Reply), keptPath)]
	if t.Result == Done {
		j.successes.add(entry{j.lastID, t}, keptSuccesses)
	} else {
		j.causes[t.Cause]++
		j.failures.add(entry{j.lastID, t}, keptFailures)
	}
	return j.lastID
}

// correct replaces a diagnosis by what turned out later, if the account is still
// kept.
func (j *journal) correct(id uint64, d Diagnosis) (t Transfer, kept bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := slices.IndexFunc(j.failures.entries, func(e entry) bool { return e.id == id })
	if at < 0 {
		return Transfer{}, false
	}
	e := &j.failures.entries[at]
	j.causes[d.Cause]++ // besides the first one: counters do not go back
	e.Diagnosis = d
	return e.Transfer, true
}

func (j *journal) begin(rule string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.begun == nil {
		j.begun = make(map[string]uint64)
	}
	j.begun[rule]++
}

func (j *journal) refuse(reason policy.Reason) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.refusals == nil {
		j.refusals = make(map[policy.Reason]uint64)
	}
	j.refusals[reason]++
}

// Transfers returns the accounts that are kept, newest first.
func (g *Server) Transfers() []Transfer {
	j := &g.journal
	j.mu.Lock()
	entries := slices.Concat(j.failures.entries, j.successes.entries)
	j.mu.Unlock()
	slices.SortFunc(entries, func(a, b entry) int {
		if a.id > b.id {
			return -1
		}
		return 1
	})
	all := make([]Transfer, len(entries))
	for i, e := range entries {
		all[i] = e.Transfer
	}
	return all
}

// Stats returns the present numbers.
func (g *Server) Stats() Stats {
	g.mu.Lock()
	active := maps.Clone(g.perRule)
	g.mu.Unlock()
	j := &g.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	s := Stats{
		Active: active, Begun: maps.Clone(j.begun), Transfers: maps.Clone(j.transfers), Causes: maps.Clone(j.causes),
		Refusals: make(map[string]uint64, len(j.refusals)),
	}
	for reason, n := range j.refusals {
		s.Refusals[string(reason)] = n
	}
	return s
}

// Sessions returns up to limit sessions whose ID is above after, in the order of
// their IDs.
func (g *Server) Sessions(after uint64, limit int) []Session {
	g.mu.Lock()
	ids := slices.Collect(maps.Keys(g.sessions))
	ids = slices.DeleteFunc(ids, func(id uint64) bool { return id <= after })
	slices.Sort(ids)
	ids = ids[:min(len(ids), max(limit, 0))]
	chosen := make([]*session, len(ids))
	for i, id := range ids {
		chosen[i] = g.sessions[id]
	}
	g.mu.Unlock()
	all := make([]Session, len(chosen))
	for i, s := range chosen {
		all[i] = s.snapshot()
	}
	return all
}

// Carried returns what all data connections have carried since the start, in
// bytes, those that run included (see nat.Traffic), and how many transfers run.
// It asks the kernel about each running one. The number never falls.
func (g *Server) Carried() (bytes uint64, running int) {
	g.mu.Lock()
	bytes = g.carried
	sessions := slices.AppendSeq(make([]*session, 0, len(g.sessions)), maps.Values(g.sessions))
	g.mu.Unlock()
	for _, s := range sessions {
		s.locked(func() {
			bytes += s.carried()
			if s.queue.transferring() != nil {
				running++
			}
		})
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.most = max(g.most, bytes) // one that has just changed hands may be missing
	return g.most, running
}
