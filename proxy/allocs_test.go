//go:build !race

package proxy

import "testing"

// TestPassThroughAllocatesNothing: a command and its reply that need no
// rewriting cost no memory. (Under the race detector pools drop at random.)
func TestPassThroughAllocatesNothing(t *testing.T) {
	client, server := established(t)
	buf := make([]byte, 512)
	for range 100 {
		exchangeLines(t, client, server, buf)
	}
	if n := testing.AllocsPerRun(1000, func() { exchangeLines(t, client, server, buf) }); n > 0 {
		t.Errorf("%.0f allocations for a command and its reply", n)
	}
}
