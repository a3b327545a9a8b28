package trace

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// twins are two sessions that say everything at the same time, so that only data connections tell them apart. The gateway
// dials for the second one first.
type twins struct {
	*wire
	near, far [2]link // far[i] is the gateway's for near[i]
}

func newTwins(t *testing.T) *twins {
	w := &twins{wire: newWire(t, Options{Own: own})}
	for i := range 2 {
		w.near[i] = w.dial("lan0", fmt.Sprintf("192.168.50.10:4000%d", i), outside).answer()
	}
	for _, i := range []int{1, 0} {
		w.far[i] = w.dial("wan0", fmt.Sprintf("203.0.113.1:3100%d", i), outside).answer()
	}
	w.replied("220 ready")
	w.said("USER bob")
	w.replied("230 in")
	return w
}

func (w *twins) said(line string) {
	for _, l := range [][2]link{w.near, {w.far[1], w.far[0]}} {
		l[0].says(line)
		l[1].says(line)
	}
}

func (w *twins) replied(line string) {
	for _, l := range [][2]link{{w.far[1], w.far[0]}, w.near} {
		l[0].replies(line)
		l[1].replies(line)
	}
}

// mustKnow wants the connections to have been given to their sessions without a doubt.
func (w *twins) mustKnow(wanted ...string) {
	w.t.Helper()
	for i := range 2 {
		w.near[i].close()
		w.far[i].close()
	}
	summary := w.follower.Close()
	if summary.Sessions != 2 || summary.Connections > 0 && len(summary.Failures) != 0 {
		w.t.Errorf("it came to %+v", summary)
	}
	for _, never := range []string{"of which the client said nothing", "nobody has announced", "most likely", "gateway: "} {
		if strings.Contains(w.told(), never) {
			w.t.Errorf("it tells %q", never)
		}
	}
	for _, want := range wanted {
		if !strings.Contains(w.told(), want) {
			w.t.Errorf("%q is missing", want)
		}
	}
	if w.t.Failed() {
		w.t.Log(w.told())
	}
}

// TestProofs: whose a connection is that may be two sessions' is not guessed as long as something may yet tell.
func TestProofs(t *testing.T) {
	t.Run("the reply to EPRT passes to one of them", func(t *testing.T) {
		w := newTwins(t)
		w.near[0].says("PORT 192,168,50,10,24,0")
		w.near[1].says("PORT 192,168,50,10,24,1")
		w.far[0].says("PORT 203,0,113,1,195,80")
		w.far[0].replies("200 ok")
		w.near[0].replies("200 ok")
		w.far[1].says("PORT 203,0,113,1,195,81")
		w.far[1].replies("200 ok")
		w.near[1].replies("200 ok")
		w.mustKnow("the server got: PORT 203,0,113,1,195,80 (another address: 192.168.50.10:6144", "the server got: PORT 203,0,113,1,195,81 (another address: 192.168.50.10:6145")
	})
	t.Run("active data connections", func(t *testing.T) {
		w := newTwins(t)
		for i := range 2 {
			w.near[i].says(fmt.Sprintf("PORT 192,168,50,10,24,%d", i))
		}
		for _, i := range []int{1, 0} {
			w.far[i].says(fmt.Sprintf("PORT 203,0,113,1,195,8%d", i))
		}
		w.replied("200 ok")
		w.said("LIST")
		var dialled, arrived [2]link
		for i := range 2 {
			dialled[i] = w.dial("wan0", "203.0.113.20:20", fmt.Sprintf("203.0.113.1:5000%d", i))
		}
		for i := range 2 {
			arrived[i] = dialled[i].forward("lan0", "203.0.113.20:20", fmt.Sprintf("192.168.50.10:614%d", 4+i)).answer()
			dialled[i].answer()
			for _, l := range []link{dialled[i], arrived[i]} {
				l.segment(true, "F", strings.Repeat("x", 100+i))
				l.segment(false, "F", "")
			}
		}
		w.replied("226 done")
		w.mustKnow("the server got: PORT 203,0,113,1,195,80 (another address: 192.168.50.10:6144", "the server got: PORT 203,0,113,1,195,81 (another address: 192.168.50.10:6145",
			"100 bytes from the server", "101 bytes from the server", "it goes on as 203.0.113.20:20 → 192.168.50.10:6145")
	})
	t.Run("passive data connections", func(t *testing.T) {
		w := newTwins(t)
		w.said("PASV")
		for _, i := range []int{1, 0} {
			w.far[i].replies(fmt.Sprintf("227 go (203,0,113,20,200,%d)", i))
		}
		for i := range 2 {
			w.near[i].replies(fmt.Sprintf("227 go (203,0,113,1,200,%d)", i))
		}
		w.said("LIST")
		for i := range 2 {
			dialled := w.dial("lan0", fmt.Sprintf("192.168.50.10:4100%d", i), fmt.Sprintf("203.0.113.1:%d", 51200+i))
			arrived := dialled.forward("wan0", fmt.Sprintf("203.0.113.1:4100%d", i), fmt.Sprintf("203.0.113.20:%d", 51200+i)).answer()
			dialled.answer()
			for _, l := range []link{dialled, arrived} {
				l.segment(false, "F", strings.Repeat("x", 100+i))
				l.segment(true, "F", "")
			}
		}
		w.replied("226 done")
		w.mustKnow("the client got: 227 go (203,0,113,1,200,0) (another address: 203.0.113.20:51200 became 203.0.113.1:51200)",
			"the client got: 227 go (203,0,113,1,200,1) (another address: 203.0.113.20:51201 became 203.0.113.1:51201)",
			"100 bytes from the server", "101 bytes from the server")
	})
	t.Run("where nothing tells it is said to be a guess", func(t *testing.T) {
		w := newTwins(t)
		w.wait(doubtTime / 2)
		if strings.Contains(w.told(), "the gateway connects") {
			t.Errorf("it is guessed too early:\n%s", w.told())
		}
		w.wait(doubtTime/2 + time.Second)
		if n := strings.Count(w.told(), "the gateway connects"); n != 2 {
			t.Errorf("it is guessed %d times", n)
		}
		w.mustTell("most likely: it may be of 1 other session that said the same")
	})
	t.Run("a refusal of the gateway", func(t *testing.T) {
		w := newTwins(t)
		w.near[0].says("PORT 10,9,9,9,24,0")
		w.near[0].replies("500 not yours")
		w.near[0].says("PWD")
		w.far[0].says("PWD")
		w.mustTell("gateway: 500 not yours")
		w.follower.Close()
	})
}
