package trace

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestSuperseded: a data connection that was dropped stays what did not work,
// though the client tries another way and leaves; a change of mind is no failure.
func TestSuperseded(t *testing.T) {
	for dialled, want := range map[bool]int{true: 1, false: 0} {
		w := newWire(t, Options{Own: own})
		near, far := gateway(w)
		active(near, far)
		if dialled {
			w.dial("wan0", "203.0.113.20:20", "203.0.113.1:50000")
			w.wait(4 * time.Second)
		}
		both(near, far, true, "EPSV")
		both(near, far, false, "229 listening (|||40000|)")
		sum := w.follower.Close()
		got := 0
		for _, f := range sum.Failures {
			if text := fmt.Sprint(f); strings.Contains(text, "PORT") && strings.Contains(text, "it came in and did not go on") {
				got++
			}
		}
		if dialled && got != want || !dialled && strings.Contains(fmt.Sprint(sum.Failures), "PORT") {
			t.Errorf("a SYN was seen: %v: the summary has %v", dialled, sum.Failures)
		}
	}
}
