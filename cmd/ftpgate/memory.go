package main

import (
	"runtime/debug"
	"runtime/metrics"
)

// worthwhile is the least memory, in bytes, that is given back.
const worthwhile = 4 << 20

// memory gives back to the host what a burst of sessions has left behind. Left
// to itself, the collector of an idle daemon runs every two minutes, and gives
// back little by little: on a small router that is long.
type memory struct {
	cycles uint64 // of the collector, when it was last looked at
}

// tidy is called from time to time. It does something only if the collector had
// nothing to do meanwhile, so that a busy daemon loses no time with it.
func (m *memory) tidy() {
	samples := []metrics.Sample{
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(samples)
	cycles, free, objects, live := samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64(), samples[3].Value.Uint64()
	idle := cycles == m.cycles
	m.cycles = cycles
	if spare := free + objects - min(live, objects); idle && spare > max(worthwhile, objects/4) {
		debug.FreeOSMemory()
		m.cycles++
	}
}
