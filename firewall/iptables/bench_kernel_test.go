//go:build kernel

package iptables_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/firewall/iptables"
)

// BenchmarkOpen is one open and, apart, one shut, with others in place.
func BenchmarkOpen(b *testing.B) {
	for _, v := range []iptables.Variant{iptables.NFT, iptables.Legacy} {
		for _, others := range []int{0, 100, 1000} {
			for _, batch := range []int{1, 32} {
				b.Run(benchName(v, others, batch), func(b *testing.B) { benchmarkOpen(b, v, others, batch) })
			}
		}
	}
}

func benchName(v iptables.Variant, others, batch int) string {
	return fmt.Sprintf("%s/others=%d/batch=%d", v, others, batch)
}

func benchmarkOpen(b *testing.B, v iptables.Variant, others, batch int) {
	runtime.LockOSThread()
	ns, err := netns.New()
	if err != nil {
		b.Fatal(err)
	}
	defer ns.Close()
	backend, err := iptables.New(iptables.Options{Variant: v})
	if err == nil {
		err = backend.Install(testFrame())
	}
	if err != nil {
		b.Fatal(err)
	}
	holes := func(from, n int) (holes []firewall.Hole) {
		for i := range n {
			holes = append(holes, testHole(uint64(from+i)))
		}
		return holes
	}
	if err := backend.Apply(holes(1, others), nil); err != nil {
		b.Fatal(err)
	}
	var opening, shutting, verifying time.Duration
	rounds := 0
	for b.Loop() {
		some := holes(10000, batch)
		start := time.Now()
		if err := backend.Apply(some, nil); err != nil {
			b.Fatal(err)
		}
		opened := time.Now()
		if err := backend.Apply(nil, some); err != nil {
			b.Fatal(err)
		}
		shut := time.Now()
		if found, err := backend.Verify(holes(1, others)); err != nil || found.Any() {
			b.Fatal(found, err)
		}
		opening += opened.Sub(start)
		shutting += shut.Sub(opened)
		verifying += time.Since(shut)
		rounds++
	}
	b.ReportMetric(opening.Seconds()*1000/float64(rounds), "open-ms")
	b.ReportMetric(shutting.Seconds()*1000/float64(rounds), "shut-ms")
	b.ReportMetric(verifying.Seconds()*1000/float64(rounds), "verify-ms")
	if err := backend.Remove(); err != nil {
		b.Fatal(err)
	}
}
