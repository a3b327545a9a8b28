package status

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ftpgate/ftpgate/proxy"
)

// The plots of the dashboard show 15 minutes.
const (
	sampleEvery = 5 * time.Second
	keptSamples = int(15 * time.Minute / sampleEvery)
)

// history keeps the last samples.
type history struct {
	mu      sync.Mutex
	samples []SampleJSON
	before  totals
}

// totals only grow; a sample is the difference of two.
type totals struct {
	at                     time.Time
	bytes, files, failures uint64
}

// watch takes samples until ctx ends.
func (h *history) watch(ctx context.Context, s Source) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	h.take(s, time.Now())
	for {
		select {
		case now := <-tick.C:
			h.take(s, now)
		case <-ctx.Done():
			return
		}
	}
}

func (h *history) take(s Source, now time.Time) {
	stats := s.SessionStats()
	total := totals{at: now}
	total.bytes, _ = s.Carried()
	for class, n := range stats.Transfers {
		if class.Result == proxy.Done {
			total.files += n.Transfers
		} else {
			total.failures += n.Transfers
		}
	}
	v := SampleJSON{Time: now.UTC(), Pinholes: s.FirewallStats().Open}
	for _, n := range stats.Active {
		v.Sessions += n
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if past := now.Sub(h.before.at).Seconds(); !h.before.at.IsZero() && past > 0 {
		v.Bytes = float64(total.bytes-h.before.bytes) / past
		v.Files = float64(total.files-h.before.files) / past
		v.Failures = float64(total.failures-h.before.failures) / past
	}
	h.before = total
	if len(h.samples) == keptSamples {
		h.samples = slices.Delete(h.samples, 0, 1)
	}
	h.samples = append(h.samples, v)
}

func (h *history) last() HistoryJSON {
	h.mu.Lock()
	defer h.mu.Unlock()
	return HistoryJSON{Step: sampleEvery.Seconds(), Samples: slices.Clone(some(h.samples))}
}
