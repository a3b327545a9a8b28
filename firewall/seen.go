package firewall

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// askBefore is how long before the end of a hole's life the backend is asked what has come to it. Who looks for the reason
// why a connection did not come cannot be told afterwards: the kernel removes the hole by itself.
const askBefore = 300 * time.Millisecond

// Seen returns how many packets the gate of an open hole has matched; known is false where the backend does not count, or
// the hole is not there any more. It waits until the backend is free.
func (m *Manager) Seen(ctx context.Context, h Hole) (packets uint64, known bool, err error) {
	counter, counts := m.backend.(Counter)
	if !counts {
		return 0, false, nil
	}
	select {
	case m.busy <- struct{}{}:
	case <-ctx.Done():
		return 0, false, context.Cause(ctx)
	}
	defer func() {
		<-m.busy
		m.poke() // what came meanwhile has been left to the worker
	}()
	m.mu.Lock()
	err = m.refusal()
	m.mu.Unlock()
	if err != nil {
		return 0, false, err
	}
	return counter.Seen(h)
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
	for _, l := range leases {
		packets, known, err := w.backend.(Counter).Seen(l.hole)
		if err != nil {
			w.log.Debug("asking what has come to a pinhole", zap.Error(err))
			continue
		}
		w.mu.Lock()
		l.seen, l.known = packets, known
		w.mu.Unlock()
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
