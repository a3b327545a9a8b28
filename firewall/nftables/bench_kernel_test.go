//go:build kernel

package nftables_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/firewall"
)

// BenchmarkApply is one open and, apart, one shut, with others in place; the last figure is a Verify when all is well.
func BenchmarkApply(b *testing.B) {
	for _, others := range []int{0, 1000, 5000} {
		for _, batch := range []int{1, 32} {
			b.Run(fmt.Sprintf("others=%d/batch=%d", others, batch), func(b *testing.B) { benchmarkApply(b, others, batch) })
		}
	}
}

func testHoles(from, n int) (holes []firewall.Hole) {
	for i := range n {
		holes = append(holes, testHole(uint64(from+i)))
	}
	return holes
}

func benchmarkApply(b *testing.B, others, batch int) {
	inNamespace(b, func() {
		backend := backend(b)
		must(b, backend.Install(testFrame()))
		there := testHoles(1, others)
		must(b, backend.Apply(there, nil))
		var opening, shutting, verifying []time.Duration
		b.ReportAllocs()
		for b.Loop() {
			some := testHoles(10000, batch)
			start := time.Now()
			must(b, backend.Apply(some, nil))
			opened := time.Now()
			must(b, backend.Apply(nil, some))
			shut := time.Now()
			found, err := backend.Verify(there)
			verifying = append(verifying, time.Since(shut))
			opening = append(opening, opened.Sub(start))
			shutting = append(shutting, shut.Sub(opened))
			if must(b, err); found.Any() {
				b.Fatal(found)
			}
		}
		report(b, "open", opening)
		report(b, "shut", shutting)
		report(b, "verify", verifying)
		must(b, backend.Remove())
	})
}

// report gives median and 99th percentile in µs.
func report(b *testing.B, what string, took []time.Duration) {
	slices.Sort(took)
	for _, p := range []int{50, 99} {
		b.ReportMetric(float64(took[len(took)*p/100].Nanoseconds())/1000, fmt.Sprintf("%s-p%d-µs", what, p))
	}
}

// BenchmarkManager is what sessions wait for: Open, with the connection used and the lease released at once.
func BenchmarkManager(b *testing.B) {
	for _, sessions := range []int{1, 32} {
		for _, others := range []int{0, 1000} {
			b.Run(fmt.Sprintf("sessions=%d/others=%d", sessions, others), func(b *testing.B) { benchmarkManager(b, sessions, others) })
		}
	}
}

// BenchmarkBurst is 500 opens at the same moment, until the last is in place.
func BenchmarkBurst(b *testing.B) {
	inManager(b, func(m *firewall.Manager) {
		var whole []time.Duration
		before := m.Stats().Transactions
		for b.Loop() {
			var leases [500]*firewall.Lease
			var all sync.WaitGroup
			start := time.Now()
			for i := range leases {
				all.Go(func() { leases[i] = open(b, m, i) })
			}
			all.Wait()
			whole = append(whole, time.Since(start))
			for _, l := range leases {
				l.Release()
			}
		}
		report(b, "burst", whole)
		b.ReportMetric(float64(m.Stats().Transactions-before)/float64(len(whole)), "transactions/op")
	})
}

func inManager(b *testing.B, do func(*firewall.Manager)) {
	inNamespace(b, func() {
		m := manager(b, testFrame())
		do(m)
		must(b, m.Stop())
	})
}

func open(b testing.TB, m *firewall.Manager, n int) *firewall.Lease {
	h := testHole(0).Pinhole
	h.Destination = netip.AddrPortFrom(h.Destination.Addr(), uint16(10000+n))
	l, err := m.Open(context.Background(), h)
	if err != nil {
		b.Error(err)
	}
	return l
}

func benchmarkManager(b *testing.B, sessions, others int) {
	inManager(b, func(m *firewall.Manager) {
		for i := range others {
			open(b, m, 20000+i)
		}
		var mu sync.Mutex
		var all sync.WaitGroup
		var opening []time.Duration
		start := time.Now()
		for s := range sessions {
			all.Go(func() {
				var own []time.Duration
				for i := range b.N {
					start := time.Now()
					l := open(b, m, s*100+i%100)
					own = append(own, time.Since(start))
					l.Used()
					l.Release()
				}
				mu.Lock()
				opening = append(opening, own...)
				mu.Unlock()
			})
		}
		all.Wait()
		b.ReportMetric(float64(sessions*b.N)/time.Since(start).Seconds(), "opens/s")
		report(b, "open", opening)
	})
}
