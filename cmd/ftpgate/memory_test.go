package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// TestTidy: garbage goes once the collector has rested, and only once.
func TestTidy(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // or it would run meanwhile
	runtime.GC()
	held := make([][]byte, 64)
	for i := range held {
		held[i] = make([]byte, 1<<20)
	}
	clear(held)
	var m memory
	var before, after runtime.MemStats
	m.tidy() // learns what has been allocated, and that the daemon is not quiet
	runtime.ReadMemStats(&before)
	m.tidy()
	runtime.ReadMemStats(&after)
	if given := after.HeapReleased - before.HeapReleased; int64(given) < 60<<20 {
		t.Errorf("%d bytes were given back", int64(given))
	}
	collected := after.NumGC
	for range 3 {
		m.tidy()
	}
	if runtime.ReadMemStats(&after); after.NumGC != collected {
		t.Error("it collected again with nothing to collect")
	}
}

func TestPace(t *testing.T) {
	for live, want := range map[uint64]int{0: rarest, 1 << 20: rarest, 4 << 20: 400, 16 << 20: 100, 64 << 20: 25, 1 << 30: mostOften} {
		if got := paceFor(live); got != want {
			t.Errorf("%d bytes: %d %%, want %d", live, got, want)
		}
	}
}

// TestPaceFollows: the pace changes with the memory, at each collection.
func TestPaceFollows(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	t.Setenv("GOGC", "")
	runtime.GC()
	defer pace()()
	now := func() int {
		percent := debug.SetGCPercent(-1)
		debug.SetGCPercent(percent)
		return percent
	}
	if got := now(); got <= 100 {
		t.Fatalf("little memory, pace %d", got)
	}
	held := make([]byte, 64<<20)
	for end := time.Now().Add(10 * time.Second); now() > 100; {
		runtime.GC()
		if time.Now().After(end) {
			t.Fatalf("much memory, pace %d", now())
		}
	}
	runtime.KeepAlive(held)
}
