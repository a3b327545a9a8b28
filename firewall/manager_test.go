package firewall

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const cost = 5 * time.Millisecond

// TestOpenIsTrue holds the promise of Open: when it returns, the hole is in the kernel, and after Release it goes.
func TestOpenIsTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(cost)
		m := started(t, f, Options{})
		l := mustOpen(t, m, 1)
		if f.inPlace() != 1 {
			t.Error("Open returned before the hole was in place")
		}
		if h := l.Hole(); h.Pinhole != pinhole(1) || h.ID == 0 || !h.Expires.After(time.Now()) {
			t.Errorf("hole %+v", h)
		}
		if got := m.Holes(); len(got) != 1 || got[0] != (Standing{l.Hole(), false}) {
			t.Errorf("Holes() = %v", got)
		}
		before := time.Now()
		l.Release()
		l.Release()
		if time.Now() != before || !over(l) {
			t.Error("Release waited, or did not end the lease")
		}
		time.Sleep(2 * cost)
		if f.inPlace() != 0 {
			t.Error("an unused hole was not removed at once")
		}
		l.Used()
		if s := m.Stats(); s.Opened != 1 || s.Released != 1 || s.Used != 0 || s.Open != 0 || s.Closing != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestUsedIsNotOpen: a hole whose connection has come does not count as one that waits, does not expire, and is told apart
// until its rules are gone.
func TestUsedIsNotOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(cost)
		m := started(t, f, Options{Lifetime: time.Minute})
		waits, used := mustOpen(t, m, 1), mustOpen(t, m, 2)
		used.Used()
		if got := m.Holes(); !slices.Equal(got, []Standing{{waits.Hole(), false}, {used.Hole(), true}}) {
			t.Errorf("Holes() = %v", got)
		}
		if s := m.Stats(); s.Open != 1 || s.Used != 1 {
			t.Errorf("stats %+v", s)
		}
		time.Sleep(2 * spentDelay)
		if got := m.Holes(); len(got) != 1 || f.inPlace() != 1 {
			t.Errorf("after a while: Holes() = %v, and %d in place", got, f.inPlace())
		}
		time.Sleep(2 * time.Minute)
		if s := m.Stats(); s.Open != 0 || s.Used != 1 || s.Expired != 1 || over(used) || !over(waits) {
			t.Errorf("in the end: %+v", s)
		}
	})
}

// TestCoalescing: 500 that wait at the same moment share few transactions.
func TestCoalescing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 500
		f := newFake(cost)
		m := started(t, f, Options{})
		var wg sync.WaitGroup
		for i := range many {
			wg.Go(func() {
				if _, err := m.Open(t.Context(), pinhole(i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := f.count("open"); n > 3 {
			t.Errorf("%d opens took %d transactions", many, n)
		}
		if s := m.Stats(); s.Open != many || s.Opened != many {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestBadPinholeAlone: what the kernel refuses hurts no other that shares its transaction.
func TestBadPinholeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many, unlucky = 100, 37
		f := newFake(cost)
		f.bad = func(h Hole) bool { return h.Pinhole == pinhole(unlucky) }
		m := started(t, f, Options{})
		var wg sync.WaitGroup
		for i := range many {
			wg.Go(func() {
				_, err := m.Open(t.Context(), pinhole(i))
				if bad := i == unlucky; bad != errors.Is(err, errRefused) || bad != (err != nil) {
					t.Errorf("pinhole %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		if n := f.count("open"); n > 20 {
			t.Errorf("finding one bad pinhole among %d took %d transactions", many, n)
		}
		if s := m.Stats(); s.Open != many-1 || s.Failed != 1 || s.LastError == "" {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestUnavailable: what would meet every pinhole alike is not tried with each of them.
func TestUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(cost)
		m := started(t, f, Options{})
		f.set(func() { f.fail["apply"] = ErrUnavailable })
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if _, err := m.Open(t.Context(), pinhole(i)); !errors.Is(err, ErrUnavailable) {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		if n := f.count("open"); n > 3 {
			t.Errorf("%d transactions against a firewall that is not there", n)
		}
		f.set(func() { f.fail["apply"] = nil })
		mustOpen(t, m, 1)
	})
}

// TestRepairBeforeBlame: a transaction that fails because another program flushed our chains is repeated after repair.
func TestRepairBeforeBlame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(cost)
		m := started(t, f, Options{})
		f.set(func() { f.damaged = true })
		mustOpen(t, m, 1)
		if s := m.Stats(); s.Repairs != 1 || s.Failed != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(cost)
		m := started(t, f, Options{Lifetime: 10 * time.Second})
		l := mustOpen(t, m, 1)
		m.SetLifetime(3 * time.Second)
		short := mustOpen(t, m, 2)
		used := mustOpen(t, m, 3)
		used.Used()
		time.Sleep(3*time.Second - 3*cost)
		if over(short) {
			t.Error("ended early")
		}
		time.Sleep(4 * cost)
		if !over(short) || over(l) {
			t.Error("the shorter life did not end first")
		}
		time.Sleep(10 * time.Second)
		if !over(l) || over(used) || f.inPlace() != 0 {
			t.Errorf("after their lives: over %v, used one over %v, in place %d", over(l), over(used), f.inPlace())
		}
		l.Release()
		l.Used()
		used.Release()
		if s := m.Stats(); s.Expired != 2 || s.Used != 1 || s.Released != 0 || !over(used) {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestContext: who does not wait any more gets no hole.
func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(cost)
		m := started(t, f, Options{})
		gone := errors.New("the client has gone")
		for _, patience := range []time.Duration{0, cost / 2} { // before the transaction begins, and while it runs
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(patience, func() { cancel(gone) })
			if _, err := m.Open(ctx, pinhole(1)); !errors.Is(err, gone) {
				t.Errorf("got %v", err)
			}
		}
		time.Sleep(4 * cost)
		if s := m.Stats(); f.inPlace() != 0 || s.Open != 0 || s.Failed+s.Released != 2 {
			t.Errorf("in place %d, stats %+v", f.inPlace(), s)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.Open(ctx, pinhole(1)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		mustOpen(t, m, 1)
	})
}

// TestShutsGather: used holes are removed together, unused ones at once, and neither while an open waits.
func TestShutsGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(cost)
		m := started(t, f, Options{VerifyEvery: time.Hour})
		var leases []*Lease
		for i := range 10 {
			leases = append(leases, mustOpen(t, m, i))
		}
		f.transactions()
		for _, l := range leases[:8] {
			l.Used()
			time.Sleep(10 * time.Millisecond)
		}
		if got := f.transactions(); len(got) != 0 {
			t.Errorf("used holes were removed one by one: %v", got)
		}
		time.Sleep(spentDelay)
		if got := f.transactions(); !slices.Equal(got, []string{"open 0 shut 8"}) {
			t.Errorf("used holes: %v", got)
		}
		go m.Open(t.Context(), pinhole(20))
		synctest.Wait() // its transaction runs
		leases[8].Release()
		go m.Open(t.Context(), pinhole(21))
		time.Sleep(10 * cost)
		if got := f.transactions(); !slices.Equal(got, []string{"open 1 shut 0", "open 1 shut 0", "open 0 shut 1"}) {
			t.Errorf("a shut and an open: %v", got)
		}
	})
}

// TestShutsRideAlong: under opens without end the shuts go with them, in bounded time and number.
func TestShutsRideAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(cost)
		m := started(t, f, Options{VerifyEvery: time.Hour})
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := range 1000 {
					l, err := m.Open(t.Context(), pinhole(w*1000+i))
					if err != nil {
						t.Error(err)
						return
					}
					l.Used()
					if n := m.Stats().Closing; n > maxClosing+4 {
						t.Errorf("%d holes wait to be removed", n)
						return
					}
				}
			})
		}
		wg.Wait()
		for _, c := range f.transactions() {
			if len(c) >= 6 && c[:6] == "open 0" {
				t.Errorf("a shut stood before waiting opens: %s", c)
				break
			}
		}
	})
}

// TestSameWay: a hole that is over does not catch the connection of its successor.
func TestSameWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(cost)
		m := started(t, f, Options{VerifyEvery: time.Hour})
		first := mustOpen(t, m, 1)
		mustOpen(t, m, 1) // the same connection to the same target: both may be
		elsewhere := pinhole(1)
		elsewhere.Target = pinhole(2).Target
		if _, err := m.Open(t.Context(), elsewhere); !errors.Is(err, ErrConflict) {
			t.Errorf("got %v", err)
		}
		source := pinhole(3)
		source.SourceAs = source.Source.Next()
		if _, err := m.Open(t.Context(), source); err != nil {
			t.Error(err)
		}
		source.SourceAs = source.SourceAs.Next()
		if _, err := m.Open(t.Context(), source); !errors.Is(err, ErrConflict) {
			t.Errorf("got %v", err)
		}
		f.transactions()
		first.Used()
		mustOpen(t, m, 1)
		if got := f.transactions(); !slices.Equal(got, []string{"open 1 shut 1"}) {
			t.Errorf("the successor of a used hole: %v", got)
		}
	})
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := started(t, newFake(cost), Options{MaxHoles: 2})
		l := mustOpen(t, m, 1)
		mustOpen(t, m, 2)
		if _, err := m.Open(t.Context(), pinhole(3)); !errors.Is(err, ErrTooMany) {
			t.Errorf("got %v", err)
		}
		l.Release()
		mustOpen(t, m, 3)
		if _, err := m.Open(t.Context(), Pinhole{}); !errors.Is(err, ErrPinhole) {
			t.Errorf("got %v", err)
		}
	})
}
