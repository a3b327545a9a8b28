package main

import (
	"fmt"
	"slices"
	"time"
)

// The groups of figures, as --figures names them.
const (
	smallGroup   = "small"
	bulkGroup    = "bulk"
	noopGroup    = "noop"
	loginGroup   = "logins"
	memoryGroup  = "memory"
	openingGroup = "opening"
)

func groupNames() []string {
	return []string{smallGroup, bulkGroup, noopGroup, loginGroup, memoryGroup, openingGroup}
}

// gib is the unit of large amounts, in bytes.
const gib = 1 << 30

const (
	// crowd is how many sessions fetch small files at the same time.
	crowd = 32
	// streams is how many large files flow at the same time.
	streams = 8
	// visitors is how many sessions begin and end at the same time.
	visitors = 16
)

// probe is one measurement of a round. Its values are named KEY.QUANTITY.
type probe struct {
	group string
	key   string
	order order
	// longer multiplies the duration of the measurement.
	longer float64
	read   func(outcome) map[string]float64
}

// probes are the measurements of a round.
func probes() []probe {
	all := []probe{
		{bulkGroup, "bulk.1", order{Kind: bulk, Mode: passive, Sessions: 1}, 1.3, readBulk},
		{bulkGroup, "bulk.8", order{Kind: bulk, Mode: passive, Sessions: streams}, 1.3, readBulk},
		{noopGroup, "noop", order{Kind: noop, Sessions: 1}, 0.5, readNoop},
		{loginGroup, "logins", order{Kind: logins, Sessions: visitors}, 1, readLogins},
	}
	for _, m := range []mode{passive, active} {
		for _, sessions := range []int{1, crowd} {
			all = append(all, probe{smallGroup, fmt.Sprintf("small.%s.%d", m, sessions),
				order{Kind: files, Mode: m, Sessions: sessions}, 1, readSmall})
		}
	}
	return all
}

// chosenProbes are those of the groups that the command line asks for.
func chosenProbes(o options) []probe {
	return slices.DeleteFunc(probes(), func(p probe) bool { return !slices.Contains(o.figures, p.group) })
}

// orderFor is the order of a probe, to a contestant.
func (p probe) orderFor(c *contestant) order {
	o := p.order
	o.Duration = time.Duration(p.longer * float64(c.duration)).Round(time.Millisecond)
	o.Watch = c.pid()
	return o
}

// readSmall: files per second, milliseconds per file, and milliseconds of CPU per 1,000 files.
func readSmall(r outcome) map[string]float64 {
	return map[string]float64{
		"rate": float64(r.Count) / r.Seconds,
		"p50":  r.P50 * 1e3, "p99": r.P99 * 1e3,
		"cpu": r.CPU * 1e3 / float64(r.Count) * 1e3,
	}
}

// readBulk: GiB per second, and seconds of CPU per GiB.
func readBulk(r outcome) map[string]float64 {
	amount := float64(r.Bytes) / gib
	return map[string]float64{"rate": amount / r.Seconds, "cpu": r.CPU / amount}
}

// readNoop: microseconds.
func readNoop(r outcome) map[string]float64 {
	return map[string]float64{"p50": r.P50 * 1e6, "p99": r.P99 * 1e6}
}

// readLogins: sessions per second.
func readLogins(r outcome) map[string]float64 {
	return map[string]float64{"rate": float64(r.Count) / r.Seconds}
}
