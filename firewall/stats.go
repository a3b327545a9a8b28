package firewall

import "time"

// Stats are the numbers of a Manager at one moment. Counters start at 0 with the Manager.
type Stats struct {
	Backend string // Backend.Name

	Open    int // holes in place whose connection has not come yet
	Waiting int // calls of Open that wait for the kernel
	Closing int // holes that are over and still to be removed

	Opened   uint64 // holes that were put in place
	Used     uint64 // of these: the connection came
	Expired  uint64 // of these: the life ended first
	Released uint64 // of these: released first
	Failed   uint64 // calls of Open that ended with an error

	OpenTimes Histogram // of Open, successful

	Transactions uint64 // successful and failed calls of Backend.Apply
	Repairs      uint64 // things of ours found missing, doubled, changed or foreign, and repaired

	VerifiedAt  time.Time // end of the last successful Verify or Install; zero: never
	LastError   string    // last error of the backend; "": none yet
	LastErrorAt time.Time
}

// OpenBounds are the upper ends of the classes of a Histogram; what took longer is in one more.
var OpenBounds = [...]time.Duration{
	50 * time.Microsecond, 100 * time.Microsecond, 200 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond,
	20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, time.Second, 5 * time.Second,
}

// Histogram counts how long something took.
type Histogram struct {
	Counts [len(OpenBounds) + 1]uint64 // by class, not cumulative
	Sum    time.Duration
}

// observe needs the lock of whoever owns h.
func (h *Histogram) observe(took time.Duration) {
	class := 0
	for class < len(OpenBounds) && took > OpenBounds[class] {
		class++
	}
	h.Counts[class]++
	h.Sum += took
}

// Stats returns the numbers of now.
func (m *Manager) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	s.Open, s.Waiting, s.Closing = len(m.open), len(m.waiting)+m.inflight, len(m.urgent)+len(m.spent)
	return s
}

// Standing is a hole whose rules are in the kernel.
type Standing struct {
	Hole
	Used bool // its connection has come: it admits nobody any more, and its rules go in a moment
}

// Holes returns the holes that wait for their connection, in the order in which they expire, and behind them those that
// have been used and whose rules have not been removed yet.
func (m *Manager) Holes() []Standing {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Standing, 0, len(m.open)+len(m.spent))
	for _, h := range m.holes() {
		all = append(all, Standing{Hole: h})
	}
	for _, s := range m.spent {
		all = append(all, Standing{s.hole, true})
	}
	return all
}

func (m *Manager) holes() []Hole {
	holes := make([]Hole, 0, len(m.open))
	for e := m.order.Front(); e != nil; e = e.Next() {
		holes = append(holes, e.Value.(*Lease).hole)
	}
	return holes
}
