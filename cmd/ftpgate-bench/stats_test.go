package main

import (
	"slices"
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	var hundred []int
	for i := range 100 {
		hundred = append(hundred, 100-i)
	}
	for _, c := range []struct {
		values []int
		p      float64
		want   int
	}{
		{nil, 50, 0},
		{[]int{7}, 50, 7},
		{[]int{7}, 99, 7},
		{[]int{3, 1}, 50, 1},
		{[]int{3, 1, 2}, 50, 2},
		{[]int{3, 1, 2}, 0, 1},
		{[]int{3, 1, 2}, 100, 3},
		{hundred, 50, 50},
		{hundred, 99, 99},
	} {
		if got := percentile(slices.Clone(c.values), c.p); got != c.want {
			t.Errorf("percentile %g of %v is %d, not %d", c.p, c.values, got, c.want)
		}
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		rounds           []float64
		median, min, max float64
	}{
		{[]float64{4}, 4, 4, 4},
		{[]float64{4, 1}, 2.5, 1, 4},
		{[]float64{9, 1, 5}, 5, 1, 9},
		{[]float64{9, 1, 5, 6}, 5.5, 1, 9},
	} {
		got := spreadOf(c.rounds)
		if got.Median != c.median || got.Min != c.min || got.Max != c.max {
			t.Errorf("of %v: %+v", c.rounds, got)
		}
		if !slices.Equal(got.Rounds, c.rounds) {
			t.Errorf("the rounds %v have become %v", c.rounds, got.Rounds)
		}
	}
}

// TestDerive: added latency is the median of differences within rounds, not a difference of medians.
func TestDerive(t *testing.T) {
	s := newScores()
	for _, ms := range []float64{1, 5, 2} {
		s.add(forward, "small.passive.1.p50", ms)
		s.add(kernel, "small.passive.1.p50", ms+0.5)
	}
	s.add(modProxy, "small.passive.1.p50", 9) // of one round only: there is nothing to pair it with
	s.derive()
	if got := s.values[kernel]["added.passive"]; !slices.Equal(got, []float64{0.5, 0.5, 0.5}) {
		t.Errorf("the kernel adds %v", got)
	}
	if got := s.values[modProxy]["added.passive"]; got != nil {
		t.Errorf("a lost round is paired with another one: %v", got)
	}
	if got := s.values[forward]["added.passive"]; got != nil {
		t.Errorf("forwarding adds %v to itself", got)
	}
}

func TestGrowth(t *testing.T) {
	var steady, growing []sample
	for i := range 10 {
		at := time.Duration(i) * time.Second
		steady = append(steady, sample{at: at, memory: 1 << 20})
		growing = append(growing, sample{at: at, memory: int64(5000 + 100*i)})
	}
	if got := growth(steady); got != 0 {
		t.Errorf("what does not grow grows by %g", got)
	}
	if got := growth(growing); got < 99.9 || got > 100.1 {
		t.Errorf("100 bytes per second are told as %g", got)
	}
	if got := growth(growing[:1]); got != 0 {
		t.Errorf("one sample grows by %g", got)
	}
}
