package trace

import (
	"slices"
	"time"
)

const (
	// disorder is how much earlier than one before it a packet in a file may be. A program that captures on several
	// interfaces writes those of each as they come to it.
	disorder = 5 * time.Second
	// maxDisorder bounds the segments that wait for earlier ones.
	maxDisorder = 100_000
)

// Order brings segments into the order of their times; those of one time stay as they came. Each processor brings a socket its
// own packets, so that also live an answer may come before what it answers.
type Order struct {
	within  time.Duration
	take    func(*Segment) error
	waiting []*Segment // the earliest first
}

// NewOrder returns one for segments that come at most so much too late, which it gives to take.
func NewOrder(within time.Duration, take func(*Segment) error) *Order {
	return &Order{within: within, take: take}
}

// Add takes a segment, and gives away those that nothing earlier can come before any more.
func (o *Order) Add(s *Segment) error {
	at := len(o.waiting)
	for at > 0 && o.waiting[at-1].Time.After(s.Time) {
		at--
	}
	o.waiting = slices.Insert(o.waiting, at, s)
	return o.Advance(o.waiting[len(o.waiting)-1].Time)
}

// Advance says how late it is, by the clock of the segments.
func (o *Order) Advance(now time.Time) error {
	ready := 0
	for ready < len(o.waiting) && (now.Sub(o.waiting[ready].Time) > o.within || len(o.waiting)-ready > maxDisorder) {
		ready++
	}
	return o.give(ready)
}

// Flush gives the rest away.
func (o *Order) Flush() error { return o.give(len(o.waiting)) }

func (o *Order) give(n int) error {
	for _, s := range o.waiting[:n] {
		if err := o.take(s); err != nil {
			return err
		}
	}
	o.waiting = slices.Delete(o.waiting, 0, n)
	return nil
}
