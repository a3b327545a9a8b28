package firewall

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// changedTries bounds how often our rules are put right before one open: an open waits while another program reloads
// its own, and not for one that never ends.
const changedTries = 3

// openWaiting opens all that wait in one transaction.
func (w *worker) openWaiting() {
	batch, shuts := w.batch(time.Now())
	if len(batch) == 0 { // all have left
		if len(shuts) > 0 {
			w.shut(shuts)
		}
		return
	}
	err := w.apply(holesOf(batch), shuts)
	if err == nil {
		w.settle(batch)
		return
	}
	if len(shuts) > 0 {
		w.shut(shuts)
	}
	w.retryOpen(batch, err)
}

// batch takes what waits, numbers it, and adds the shuts that must not come later than these opens.
func (w *worker) batch(now time.Time) (batch []*request, shuts []Hole) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.waiting {
		if r.left || r.ctx.Err() != nil {
			w.fail(r, context.Cause(r.ctx))
			continue
		}
		w.lastID++
		r.opening = Hole{Pinhole: r.hole, ID: w.lastID, Expires: now.Add(w.lifetime)}
		batch = append(batch, r)
	}
	w.waiting = nil
	w.inflight = len(batch)
	if w.overdue(now) {
		return batch, w.closing()
	}
	holes := holesOf(batch)
	return batch, append(w.inTheWay(holes, &w.urgent), w.inTheWay(holes, &w.spent)...)
}

// retryOpen follows a failed transaction. What another program has destroyed is repaired first; then the batch is halved
// until those are alone that cannot be opened, so that none hurts another.
func (w *worker) retryOpen(batch []*request, err error) {
	switch {
	case errors.Is(err, ErrChanged):
		err = w.openBehind(batch)
	case !meetsAll(err):
		if acted, broken := w.verify(); acted && broken == nil {
			err = w.openAgain(batch)
		}
	}
	if err == nil {
		w.settle(batch)
		return
	}
	w.trouble("opening pinholes", err, zap.Int("pinholes", len(batch)))
	w.isolate(batch, err)
}

// meetsAll tells whether the error would meet every pinhole alike.
func meetsAll(err error) bool { return errors.Is(err, ErrUnavailable) || errors.Is(err, ErrChanged) }

func (w *worker) openAgain(batch []*request) error {
	err := w.apply(holesOf(batch), nil)
	if errors.Is(err, ErrChanged) {
		return w.openBehind(batch)
	}
	return err
}

// openBehind opens behind another program's change: nothing is open before our rules are known to be in place.
func (w *worker) openBehind(batch []*request) error {
	for range changedTries {
		if _, broken := w.verify(); broken != nil {
			return fmt.Errorf("%w, and ours cannot be put right; until they are, no pinhole opens: %w", ErrChanged, broken)
		}
		if err := w.apply(holesOf(batch), nil); !errors.Is(err, ErrChanged) {
			return err
		}
	}
	return fmt.Errorf("%w, and again each of the %d times that ours were put right: see what keeps rewriting them (nft monitor)",
		ErrChanged, changedTries)
}

func (w *worker) isolate(batch []*request, err error) {
	if len(batch) == 1 || meetsAll(err) {
		w.failAll(batch, err)
		return
	}
	middle := len(batch) / 2
	for _, half := range [][]*request{batch[:middle], batch[middle:]} {
		if err := w.openAgain(half); err != nil {
			w.isolate(half, err)
		} else {
			w.settle(half)
		}
	}
}

// settle hands out the leases of a batch that is in the kernel.
func (w *worker) settle(batch []*request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inflight -= len(batch)
	for _, r := range batch {
		l := &Lease{m: w.Manager, hole: r.opening, done: make(chan struct{})}
		w.place(l)
		w.stats.Opened++
		if r.left {
			w.take(l)
			w.shutUrgent(l.hole, time.Now())
			l.end()
			w.stats.Failed++
			r.err = context.Cause(r.ctx)
		} else {
			r.lease = l
			w.stats.OpenTimes.observe(time.Since(r.since))
		}
		close(r.ready)
	}
}

func (w *worker) failAll(batch []*request, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inflight -= len(batch)
	for _, r := range batch {
		w.fail(r, err)
	}
}

// fail ends a request without a hole. The caller holds m.mu.
func (m *Manager) fail(r *request, err error) {
	m.exit(r.hole)
	m.stats.Failed++
	r.err = err
	close(r.ready)
}

func holesOf(batch []*request) []Hole {
	holes := make([]Hole, len(batch))
	for i, r := range batch {
		holes[i] = r.opening
	}
	return holes
}

// place puts a lease among the open ones, soonest end first. The life may have been changed, so that the newest is not
// always the last to end. The caller holds m.mu.
func (m *Manager) place(l *Lease) {
	m.open[l.hole.ID] = l
	if l.hole.Expires.Add(-askBefore).Before(m.asleep) {
		m.poke()
	}
	for e := m.order.Back(); e != nil; e = e.Prev() {
		if !l.hole.Expires.Before(e.Value.(*Lease).hole.Expires) {
			l.place = m.order.InsertAfter(l, e)
			return
		}
	}
	l.place = m.order.PushFront(l)
}

// take takes a lease out of the open ones; false: it was not there any more. The caller holds m.mu.
func (m *Manager) take(l *Lease) bool {
	if l.place == nil {
		return false
	}
	delete(m.open, l.hole.ID)
	m.order.Remove(l.place)
	l.place = nil
	m.exit(l.hole.Pinhole)
	return true
}

// expire ends the leases whose life is over. The caller holds m.mu.
func (m *Manager) expire(now time.Time) {
	for e := m.order.Front(); e != nil; e = m.order.Front() {
		l := e.Value.(*Lease)
		if now.Before(l.hole.Expires) {
			return
		}
		m.take(l)
		m.stats.Expired++
		m.shutUrgent(l.hole, now)
		l.end()
	}
}

// shutUrgent and shutSpent queue a removal. The caller holds m.mu.
func (m *Manager) shutUrgent(h Hole, now time.Time) {
	m.queue(&m.urgent, ending{h, now})
	m.poke()
}

func (m *Manager) shutSpent(h Hole, now time.Time) {
	m.queue(&m.spent, ending{h, now})
	if len(m.spent) == 1 || len(m.spent) >= maxClosing {
		m.poke()
	}
}
