package firewall

import (
	"container/list"
	"time"
)

// Lease is the right to one hole, from its opening until Release, Used or the end of its life.
type Lease struct {
	m    *Manager
	hole Hole
	done chan struct{}

	// Below: guarded by m.mu.
	ended bool          // Release or the end of life has happened
	place *list.Element // in m.order while the hole is open, else nil
	onEnd func()        // nil: nobody asked
	seen  uint64        // packets at the gate, shortly before the end of an unused life
	known bool          // seen is the backend's answer
	asked bool          // the backend has been asked
}

// Hole is what the lease is for.
func (l *Lease) Hole() Hole { return l.hole }

// Done is closed when the lease has been released or its life is over, or the Manager has stopped.
func (l *Lease) Done() <-chan struct{} { return l.done }

// Used says that the connection has come. The kernel admits no second one, so that the removal of the rules may wait
// and be shared; the lease does not expire any more. It never blocks and may be called in any state.
func (l *Lease) Used() {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.m.take(l) {
		l.m.stats.Used++
		l.m.shutSpent(l.hole, time.Now())
	}
}

// Release ends the lease; the rules go as soon as no other hole waits to be opened. It never blocks and may be called
// in any state, more than once.
func (l *Lease) Release() {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.m.take(l) {
		l.m.stats.Released++
		l.m.shutUrgent(l.hole, time.Now())
	}
	l.end()
}

// Seen returns how many packets the gate had matched shortly before the lease's life ended without its connection; known
// is false where that was not asked for, or the backend does not count.
func (l *Lease) Seen() (packets uint64, known bool) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	return l.seen, l.known
}

// OnEnd has f called once when Done is closed, or now if it is closed already: to give back what was lent together with
// the hole, without a goroutine that waits for it. f must not block and must not call the Manager or its leases. A second
// OnEnd replaces the first.
func (l *Lease) OnEnd(f func()) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.onEnd = f
	if l.ended {
		f()
	}
}

// end closes Done once. The caller holds m.mu.
func (l *Lease) end() {
	if l.ended {
		return
	}
	l.ended = true
	close(l.done)
	if l.onEnd != nil {
		l.onEnd()
	}
}
