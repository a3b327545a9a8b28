package firewall

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What was lent with a hole comes back whichever way the hole ends.
func TestOnEnd(t *testing.T) {
	for name, finish := range map[string]func(*Manager, *Lease){
		"release":             func(_ *Manager, l *Lease) { l.Release() },
		"release twice":       func(_ *Manager, l *Lease) { l.Release(); l.Release() },
		"use, then release":   func(_ *Manager, l *Lease) { l.Used(); l.Release() },
		"the end of its life": func(*Manager, *Lease) { time.Sleep(DefaultLifetime + time.Second) },
		"stop":                func(m *Manager, _ *Lease) { m.Stop() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := started(t, newFake(0), Options{})
				l := mustOpen(t, m, 1)
				var calls atomic.Int32
				l.OnEnd(func() { calls.Add(1) })
				synctest.Wait()
				if calls.Load() != 0 {
					t.Fatal("called before the end")
				}
				finish(m, l)
				synctest.Wait()
				if calls.Load() != 1 {
					t.Fatalf("called %d times", calls.Load())
				}
				late := false
				l.OnEnd(func() { late = true })
				if !late {
					t.Error("not called although it had ended")
				}
			})
		})
	}
}
