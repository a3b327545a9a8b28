package trace

import (
	"strconv"
	"strings"
	"testing"
)

// TestJoined: a trace that begins in the middle finds both sides by what is said, through a gateway and through a kernel that
// translates.
func TestJoined(t *testing.T) {
	for name, c := range map[string]struct {
		far  link
		told string
	}{
		"gateway": {link{on: "wan0", from: public, to: outside, isn: 900_000}, "the gateway connects 203.0.113.1:31000"},
		"kernel":  {link{on: "wan0", from: public, to: outside, isn: 77}, "it goes on as 203.0.113.1:31000"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, Options{Own: own})
			near := link{w, "lan0", lanClient, outside, 77}
			c.far.w = w
			for _, l := range []link{near, c.far} {
				w.seqs[l.key(true)], w.seqs[l.key(false)] = l.isn+1, l.isn+1_000_001
			}
			both(near, c.far, true, "NOOP")
			both(near, c.far, false, "200 ok")
			both(near, c.far, true, "NOOP")
			both(near, c.far, false, "200 ok")
			active(near, c.far)
			summary := w.follower.Close()
			w.mustTell("client "+lanClient, c.told, "client: PORT 192,168,50,10,24,131", "the server got: PORT 203,0,113,1,195,80")
			if summary.Sessions != 1 {
				t.Errorf("%d sessions:\n%s", summary.Sessions, w.told())
			}
		})
	}
}

// TestWithoutInterfaces: one session at a time is told also where the capture does not say where packets were seen.
func TestWithoutInterfaces(t *testing.T) {
	w := newWire(t, Options{})
	near := w.dial("", lanClient, outside).answer()
	far := w.dial("", public, outside).answer()
	both(near, far, false, "220 ready")
	both(near, far, true, "USER bob")
	active(near, far)
	if w.follower.Close().Sessions != 1 || !strings.Contains(w.told(), "the gateway connects") {
		t.Errorf("%s", w.told())
	}
}

// TestBounds: a flood of connections is neither followed nor remembered beyond the bounds.
func TestBounds(t *testing.T) {
	w := newWire(t, Options{Own: own})
	for i := range 2 * maxLegs {
		w.take(packet{on: "lan0", from: "192.168.50.10:" + strconv.Itoa(1024+i), to: outside, flags: "S", seq: uint32(i * 7)})
	}
	if n := len(w.follower.legs); n > maxLegs {
		t.Errorf("%d connections are followed", n)
	}
	if w.follower.Close().NotFollowed == 0 {
		t.Error("it does not say that some were not followed")
	}
}
