package main

import (
	"runtime"
	"runtime/debug"
	"testing"
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
	m.tidy() // learns that the collector has run
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
