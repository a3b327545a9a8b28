package firewall

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// askBefore is how long before the end of a hole's life the backend is asked what has come to it. Who looks for the reason
// why a connection did not come cannot be told afterwards: the kernel removes the hole by itself.
const askBefore = 300 * time.Millisecond

// Seen returns how many packets the gates of open holes have matched, by the number of the hole; those are missing of
// which the backend does not count, or that are not there any more. It waits until the backend is free.
func (m *Manager) Seen(ctx context.Context, holes ...Hole) (packets map[uint64]uint64, err error) {
	counter, counts := m.backend.(Counter)
	if !counts {
		return nil, nil
	}
	select {
	case m.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() {
		<-m.busy
		m.poke() // what came meanwhile has been left to the worker
	}()
	m.mu.Lock()
	err = m.refusal()
	m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return counter.Seen(holes...)
}

// unasked returns the leases whose life ends soon and of which the backend has not been asked yet. The caller holds m.mu.
func (m *Manager) unasked(now time.Time) (leases []*Lease) {
	if _, counts := m.backend.(Counter); !counts {
		return nil
	}
	for e := m.order.Front(); e != nil; e = e.Next() {
		l := e.Value.(*Lease)
		if now.Before(l.hole.Expires.Add(-askBefore)) {
			break
		}
		if !l.asked {
			l.asked = true
			leases = append(leases, l)
		}
	}
	return leases
}

// ask asks the backend of leases whose life ends soon.
func (w *worker) ask(leases []*Lease) {
	holes := make([]Hole, len(leases))
	for i, l := range leases {
		holes[i] = l.hole
	}
	packets, err := w.backend.(Counter).Seen(holes...)
	if err != nil {
		w.log.Debug("asking what has come to pinholes", zap.Error(err))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range leases {
		l.seen, l.known = packets[l.hole.ID]
	}
}

// nextAsk is when the first lease is due that the backend has not been asked of. The caller holds m.mu.
func (m *Manager) nextAsk() (due time.Time, any bool) {
	for e := m.order.Front(); e != nil; e = e.Next() {
		if l := e.Value.(*Lease); !l.asked {
			return l.hole.Expires.Add(-askBefore), true
		}
	}
	return time.Time{}, false
}
