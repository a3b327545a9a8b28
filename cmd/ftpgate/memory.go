package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

const (
	// worthwhile is the least memory, in bytes, that is given back.
	worthwhile = 4 << 20
	// quiet is how much may be allocated between two looks, in bytes, by a daemon
	// that has nothing to do.
	quiet = 256 << 10
	// headroom is how much garbage may gather before it is collected, in bytes.
	// Go's own pace, as much as there is live memory, would have a gateway with
	// few sessions and many files collect a hundred times a second, and one with
	// ten thousand idle sessions take twice what they need.
	headroom = 16 << 20
	// The ends of the pace, in percent of the live memory: a burst of sessions
	// must not outrun the collector, nor a great memory keep it always busy.
	rarest, mostOften = 800, 25
)

// memory keeps the daemon small without making it slow.
type memory struct {
	allocated uint64 // in all, when it was last looked at
}

// tidy, called from time to time, gives back to the host what a burst of
// sessions has left behind, once the daemon is quiet. Left to itself, Go's
// collector then runs every two minutes, and gives back little by little: on a
// small router that is long.
func (m *memory) tidy() {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(samples)
	allocated, free, objects, live := samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64(), samples[3].Value.Uint64()
	idle := allocated-m.allocated < quiet
	m.allocated = allocated
	if spare := free + objects - min(live, objects); idle && spare > max(worthwhile, objects/8) {
		debug.FreeOSMemory()
	}
}

// cycle is garbage from its birth: it is found at each collection.
type cycle struct{ _ *byte }

// pace fits the collector's pace to the live memory after each collection until
// stop, unless the administrator has set one (GOGC).
func pace() (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	var stopped atomic.Bool
	// What Go reckons its percentage from (runtime, GOGC). The globals are those of the libraries, some megabytes.
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	var next func(*cycle)
	next = func(*cycle) {
		if stopped.Load() {
			return
		}
		metrics.Read(samples)
		live := samples[0].Value.Uint64() + samples[1].Value.Uint64() + samples[2].Value.Uint64()
		debug.SetGCPercent(paceFor(live))
		runtime.SetFinalizer(new(cycle), next)
	}
	next(nil)
	return func() { stopped.Store(true) }
}

// paceFor is the percentage by which the heap may grow over that much live memory.
func paceFor(live uint64) int {
	return int(min(max(headroom*100/max(live, 1), mostOften), rarest))
}
