package firewall

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestVerify: every VerifyEvery, also while opens never cease; repairs are counted, errors are told once they happen.
func TestVerify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(cost)
		m := started(t, f, Options{VerifyEvery: 2 * time.Second})
		mustOpen(t, m, 1)
		f.set(func() { clear(f.holes) })
		time.Sleep(2*time.Second + 2*cost)
		if s := m.Stats(); f.inPlace() != 1 || s.Repairs != 1 || s.VerifiedAt.IsZero() {
			t.Errorf("in place %d, stats %+v", f.inPlace(), s)
		}
		f.set(func() { f.moved = []string{"another chain"} }) // which is nobody's damage
		time.Sleep(2*time.Second + 2*cost)
		if s := m.Stats(); len(f.moved) > 0 || s.Repairs != 1 {
			t.Errorf("after a change of the host's own rules: %+v", s)
		}
		f.set(func() { f.fail["verify"] = errRefused })
		verified := m.Stats().VerifiedAt
		time.Sleep(5 * time.Second)
		if s := m.Stats(); s.VerifiedAt != verified || s.LastError == "" || s.LastErrorAt.IsZero() {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestOpensBehindAChange: what is spent goes before the look, the looks have an end, and without a good one nothing opens.
func TestOpensBehindAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(cost)
		core, logged := observer.New(zap.ErrorLevel)
		m := started(t, f, Options{VerifyEvery: time.Hour, Log: zap.New(core)})
		mustOpen(t, m, 1).Used()
		f.set(func() { f.calls, f.changed = nil, 2 })
		mustOpen(t, m, 2)
		want := []string{"open 1 shut 0", "open 0 shut 1", "verify", "open 1 shut 0", "verify", "open 1 shut 0"}
		if !slices.Equal(f.calls, want) || logged.Len() > 0 || m.Stats().LastError != "" {
			t.Errorf("calls %q, stats %+v", f.calls, m.Stats())
		}
		f.set(func() { f.calls, f.changed = nil, 100 })
		if _, err := m.Open(t.Context(), pinhole(3)); !errors.Is(err, ErrChanged) || f.count("verify") != changedTries || f.inPlace() != 1 {
			t.Errorf("%v, calls %q", err, f.calls)
		}
		logged.TakeAll()
		f.set(func() { f.fail["verify"] = errRefused })
		for range 3 {
			if _, err := m.Open(t.Context(), pinhole(3)); !errors.Is(err, ErrChanged) || !errors.Is(err, errRefused) || f.inPlace() != 1 {
				t.Errorf("behind a look that failed: %v", err)
			}
		}
		if n := logged.FilterMessage("opening pinholes").Len(); n != 1 || logged.Len() != 2 { // the other one is the look's
			t.Errorf("logged: %v", logged.All())
		}
	})
}

// TestSpentIsNotAskedFor: a removal that failed is no reason to have the hole's rules written anew.
func TestSpentIsNotAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(cost)
		m := started(t, f, Options{VerifyEvery: time.Hour})
		mustOpen(t, m, 1).Used()
		f.set(func() { f.damaged = true; clear(f.holes) })
		mustOpen(t, m, 2)
		if f.inPlace() != 1 {
			t.Errorf("in place %d, calls %q", f.inPlace(), f.calls)
		}
	})
}

func TestVerifyUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(cost)
		m := started(t, f, Options{VerifyEvery: 2 * time.Second})
		end := time.Now().Add(20 * time.Second)
		var wg sync.WaitGroup
		for w := range 3 {
			wg.Go(func() {
				for i := 0; time.Now().Before(end); i++ {
					l, err := m.Open(t.Context(), pinhole(w*10000+i))
					if err != nil {
						t.Error(err)
						return
					}
					l.Used()
				}
			})
		}
		wg.Wait()
		if n := f.count("verify"); n < 4 {
			t.Errorf("%d looks at the rules in 20 s of load", n)
		}
		if s := m.Stats(); s.Repairs != 0 {
			t.Errorf("Verify took our own state for damage: %+v", s)
		}
	})
}

// TestShutFails: a removal that fails is repeated, and opens do not suffer from it.
func TestShutFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(cost)
		m := started(t, f, Options{VerifyEvery: time.Hour})
		l := mustOpen(t, m, 1)
		f.set(func() { f.fail["apply"] = errRefused })
		l.Release()
		time.Sleep(time.Second)
		if m.Stats().Closing != 1 {
			t.Errorf("stats %+v", m.Stats())
		}
		f.set(func() { delete(f.fail, "apply") })
		time.Sleep(retryShut)
		if f.inPlace() != 0 || m.Stats().Closing != 0 {
			t.Errorf("in place %d, stats %+v", f.inPlace(), m.Stats())
		}
	})
}

func TestReframe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(cost)
		m := started(t, f, Options{})
		l := mustOpen(t, m, 1)
		other := testFrame
		other.ListenPort = 2222
		if err := m.Reframe(other); err != nil || f.frame.ListenPort != 2222 {
			t.Errorf("%v, frame %+v", err, f.frame)
		}
		if err := m.Reframe(Frame{}); !errors.Is(err, ErrFrame) {
			t.Errorf("got %v", err)
		}
		f.set(func() { f.fail["install"] = errRefused })
		if err := m.Reframe(testFrame); !errors.Is(err, errRefused) || f.frame.ListenPort != 2222 {
			t.Errorf("%v, frame %+v", err, f.frame)
		}
		if over(l) || f.inPlace() != 1 {
			t.Error("an open hole was lost")
		}
	})
}

// TestStop in every state: before Start, during it, after it, twice, with opens waiting.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(cost)
		m := NewManager(f, Options{})
		if _, err := m.Open(t.Context(), pinhole(1)); !errors.Is(err, ErrNotStarted) {
			t.Errorf("open before the start: %v", err)
		}
		if err := errors.Join(m.Stop(), m.Stop()); err != nil {
			t.Error(err)
		}
		if err := m.Start(testFrame); !errors.Is(err, ErrStopped) || len(f.calls) != 0 {
			t.Errorf("start after stop: %v, calls %v", err, f.calls)
		}
		if err := m.Reframe(testFrame); !errors.Is(err, ErrStopped) {
			t.Errorf("reframe after stop: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f := newFake(time.Second)
		m := NewManager(f, Options{})
		go m.Start(testFrame)
		synctest.Wait() // Install runs
		if err := m.Start(testFrame); err == nil {
			t.Error("started twice")
		}
		if err := m.Stop(); err != nil || f.frame != nil {
			t.Errorf("stop during start: %v, calls %v", err, f.calls)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f := newFake(cost)
		m := started(t, f, Options{})
		l := mustOpen(t, m, 1)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if _, err := m.Open(t.Context(), pinhole(i+2)); err != nil && !errors.Is(err, ErrStopped) {
					t.Error(err)
				}
			})
		}
		time.Sleep(cost / 2)
		for range 3 {
			wg.Go(func() {
				if err := m.Stop(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if _, err := m.Open(t.Context(), pinhole(1)); !errors.Is(err, ErrStopped) || !over(l) || f.inPlace() != 0 {
			t.Errorf("after stop: %v, over %v, in place %d", err, over(l), f.inPlace())
		}
		l.Release()
		l.Used()
		if s := m.Stats(); f.count("remove") != 1 || s.Open != 0 || s.Waiting != 0 || s.Closing != 0 {
			t.Errorf("calls %v, stats %+v", f.calls, s)
		}
	})
}

func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(cost)
		f.fail["install"] = errRefused
		m := NewManager(f, Options{})
		if err := m.Start(testFrame); !errors.Is(err, errRefused) || f.count("remove") != 1 {
			t.Errorf("%v, calls %v", err, f.calls)
		}
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
		if err := NewManager(f, Options{}).Start(Frame{}); !errors.Is(err, ErrFrame) {
			t.Errorf("got %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f := newFake(cost)
		f.fail["remove"] = errRefused
		m := NewManager(f, Options{})
		if err := m.Start(testFrame); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := m.Stop(); !errors.Is(err, errRefused) {
				t.Errorf("got %v", err)
			}
		}
	})
}
