package main

import (
	"cmp"
	"math"
	"slices"
)

// percentile is the smallest of the values below which, with itself, at least p of a hundred lie (nearest rank). It
// sorts them. Of no values it is zero.
func percentile[V cmp.Ordered](values []V, p float64) (v V) {
	if len(values) == 0 {
		return v
	}
	slices.Sort(values)
	rank := int(math.Ceil(p / 100 * float64(len(values))))
	return values[min(max(rank, 1), len(values))-1]
}

// spread is what is told of a figure's rounds.
type spread struct {
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Rounds []float64 `json:"rounds"`
}

// spreadOf describes the rounds of a figure, of which there is at least one.
func spreadOf(rounds []float64) spread {
	sorted := slices.Sorted(slices.Values(rounds))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return spread{Median: median, Min: sorted[0], Max: sorted[len(sorted)-1], Rounds: rounds}
}
