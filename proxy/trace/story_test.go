package trace

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	lanClient = "192.168.50.10:40000"
	public    = "203.0.113.1:31000"
	outside   = "203.0.113.20:21"
)

// own are the addresses of the router of these tests.
func own(a netip.Addr) bool {
	return a == netip.MustParseAddr("203.0.113.1") || a == netip.MustParseAddr("192.168.50.1")
}

// gateway begins a session through a gateway, up to the login.
func gateway(w *wire) (near, far link) {
	near = w.dial("lan0", lanClient, outside).answer()
	far = w.dial("wan0", public, outside).answer()
	both(near, far, false, "220 ready")
	both(near, far, true, "USER bob")
	both(near, far, false, "331 password")
	both(near, far, true, "PASS geheim")
	both(near, far, false, "230 in")
	return near, far
}

// both passes a line on as it is.
func both(near, far link, up bool, line string) {
	if up {
		near.says(line)
		far.says(line)
		return
	}
	far.replies(line)
	near.replies(line)
}

// forwarded begins a session through a kernel that translates, up to the login.
func forwarded(w *wire) (near, far link) {
	near = w.dial("lan0", lanClient, outside)
	far = near.forward("wan0", public, outside)
	far.answer()
	near.answer()
	both(near, far, false, "220 ready")
	both(near, far, true, "USER bob")
	both(near, far, false, "230 in")
	return near, far
}

// active is a PORT that the gateway has rewritten.
func active(near, far link) {
	near.says("PORT 192,168,50,10,24,131")
	far.says("PORT 203,0,113,1,195,80")
	both(near, far, false, "200 ok")
}

// TestStory: what is told of each thing that can happen.
func TestStory(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(w *wire)
		told    []string
		not     []string
	}{
		"a gateway's two connections": {func(w *wire) { gateway(w) }, []string{
			"client 192.168.50.10:40000 → 203.0.113.20:21 (lan0)", "203.0.113.20:21 answered after 0.2 ms",
			"the gateway connects 203.0.113.1:31000 → 203.0.113.20:21 (wan0)", "server: 220 ready", "client: USER bob", "client: PASS ****",
		}, []string{"geheim", "of which the client said nothing", "the client got", "session 2"}},
		"one connection, translated": {func(w *wire) { forwarded(w) }, []string{
			"client 192.168.50.10:40000", "it goes on as 203.0.113.1:31000 → 203.0.113.20:21 (wan0)", "client: USER bob", "server: 230 in",
		}, []string{"gateway"}},
		"active, good": {func(w *wire) {
			near, far := gateway(w)
			active(near, far)
			both(near, far, true, "RETR f")
			data := w.dial("wan0", "203.0.113.20:20", "203.0.113.1:50000")
			inside := data.forward("lan0", "203.0.113.20:20", "192.168.50.10:6275")
			inside.answer()
			data.answer()
			data.segment(true, "", strings.Repeat("x", 1000))
			data.segment(true, "F", "rest")
			data.segment(false, "F", "")
			both(near, far, false, "226 done")
		}, []string{
			"client: PORT 192,168,50,10,24,131",
			"the server got: PORT 203,0,113,1,195,80 (another address: 192.168.50.10:6275 became 203.0.113.1:50000)",
			"data: SYN 203.0.113.20:20 → 203.0.113.1:50000 (wan0)", "it goes on as 203.0.113.20:20 → 192.168.50.10:6275 (lan0)",
			"data: answered after", "data: closed after", "1004 bytes from the server", "server: 226 done",
		}, []string{"why:"}},
		"active, nobody answers inside": {func(w *wire) {
			near, far := gateway(w)
			active(near, far)
			data := w.dial("wan0", "203.0.113.20:20", "203.0.113.1:50000")
			data.forward("lan0", "203.0.113.20:20", "192.168.50.10:6275")
			w.now = w.now.Add(time.Second)
			data.w.take(packet{on: "wan0", from: data.from, to: data.to, flags: "S", seq: data.isn})
			w.wait(2500 * time.Millisecond)
		}, []string{"data: SYN", "data: SYN again, the 2nd in 1 s", "was not answered for 3.5 s, sent 2 times: it went on as 203.0.113.20:20 → 192.168.50.10:6275 (lan0), " +
			"so the client or a filter before it drops it"}, nil},
		"active, dropped here": {func(w *wire) {
			near, far := gateway(w)
			active(near, far)
			both(near, far, true, "RETR f")
			w.dial("wan0", "203.0.113.20:20", "203.0.113.1:50000")
			w.wait(4 * time.Second)
			both(near, far, false, "425 cannot")
		}, []string{"was not answered for 4 s, sent once: it came in and did not go on, so this host drops it or leads it nowhere", "425 cannot", "why: the SYN"}, nil},
		"active, no SYN": {func(w *wire) {
			near, far := gateway(w)
			active(near, far)
			both(near, far, true, "RETR f")
			both(near, far, false, "425 cannot")
		}, []string{"why: no SYN came for 203.0.113.1:50000: the server never connected"}, nil},
		"passive, refused": {func(w *wire) {
			near, far := gateway(w)
			both(near, far, true, "PASV")
			both(near, far, false, "227 Entering Passive Mode (203,0,113,20,200,1).")
			data := w.dial("lan0", "192.168.50.10:41000", "203.0.113.20:51201")
			on := data.forward("wan0", "203.0.113.1:41000", "203.0.113.20:51201")
			on.reset(true)
			data.reset(true)
		}, []string{"the client got the same", "data: SYN", "it goes on as", "data: refused (RST by 203.0.113.20:51201 (wan0)) after"}, nil},
		"passive, rejected": {func(w *wire) {
			near, far := gateway(w)
			both(near, far, true, "EPSV")
			both(near, far, false, "229 go (|||51201|)")
			data := w.dial("lan0", "192.168.50.10:41000", "203.0.113.20:51201")
			data.unreachable("192.168.50.1", 13)
			near.close()
		}, []string{"data: rejected (ICMP administratively prohibited, by 192.168.50.1 (lan0))"}, nil},
		"passive, nobody comes": {func(w *wire) {
			near, far := gateway(w)
			both(near, far, true, "PASV")
			both(near, far, false, "227 =203,0,113,20,200,1")
			near.close()
		}, []string{"PASV: no SYN came for 203.0.113.20:51201: the client never connected"}, nil},
		"reset in the middle": {func(w *wire) {
			near, far := gateway(w)
			both(near, far, true, "EPSV")
			both(near, far, false, "229 go (|||51201|)")
			data := w.dial("lan0", "192.168.50.10:41000", "203.0.113.20:51201").answer()
			data.segment(false, "", "abc")
			data.reset(false)
		}, []string{"data: reset by 192.168.50.10:41000 after", "3 bytes from the server"}, nil},
		"to a port that nobody announced": {func(w *wire) {
			near, far := gateway(w)
			active(near, far)
			w.dial("wan0", "203.0.113.20:20", "203.0.113.1:50001")
		}, []string{"data: SYN 203.0.113.20:20 → 203.0.113.1:50001 (wan0), which nobody has announced here"}, nil},
		"by somebody else": {func(w *wire) {
			near, far := gateway(w)
			active(near, far)
			both(near, far, true, "RETR f")
			w.dial("wan0", "203.0.113.66:20", "203.0.113.1:50000")
			w.wait(4 * time.Second)
		}, []string{"(203.0.113.66 is neither client nor server)"}, nil},
		"the address of a 227 is a lie, and nobody dials it": {func(w *wire) {
			near := w.dial("lan0", lanClient, outside).answer()
			near.says("PASV")
			near.replies("227 Entering Passive Mode (10,0,0,5,200,1)")
			w.dial("lan0", "192.168.50.10:41000", "203.0.113.20:51201").answer()
		}, []string{"227", "data: SYN 192.168.50.10:41000 → 203.0.113.20:51201", "answered"}, nil},
		"the gateway answers itself": {func(w *wire) {
			near, far := gateway(w)
			near.says("PORT 10,9,8,7,200,1")
			near.replies("501 not yours")
			both(near, far, true, "NOOP")
			both(near, far, false, "200 ok")
		}, []string{"client: PORT 10,9,8,7,200,1", "gateway: 501 not yours", "the server did not get the command", "client: NOOP", "server: 200 ok"},
			[]string{"no SYN came"}},
		"the server does not answer the gateway": {func(w *wire) {
			near := w.dial("lan0", lanClient, outside).answer()
			w.dial("wan0", public, outside)
			w.wait(4 * time.Second)
			near.replies("421 unreachable")
		}, []string{"the gateway connects", "203.0.113.20:21 does not answer for 4 s, SYN sent once", "gateway: 421 unreachable"}, nil},
		"the server refuses the gateway": {func(w *wire) {
			w.dial("lan0", lanClient, outside).answer()
			w.dial("wan0", public, outside).reset(true)
		}, []string{"203.0.113.1:31000 → 203.0.113.20:21 (wan0) was refused (RST by 203.0.113.20:21)"}, nil},
		"TLS": {func(w *wire) {
			near, far := gateway(w)
			both(near, far, true, "AUTH TLS")
			both(near, far, false, "234 go")
			near.segment(true, "", "\x16\x03\x01\x00\x05PASS x\r\n")
			w.dial("lan0", "192.168.50.10:41000", "203.0.113.20:51201").answer()
			near.close()
		}, []string{"client: AUTH TLS", "server: 234 go", "turned to TLS: nothing more can be read", "data: SYN 192.168.50.10:41000 → 203.0.113.20:51201 (lan0), which nobody"},
			[]string{"PASS x"}},
		"TLS from the beginning": {func(w *wire) {
			w.dial("lan0", lanClient, outside).answer().segment(true, "", "\x16\x03\x01\x00\x05hello\n")
		}, []string{"turned to TLS"}, []string{"hello"}},
		"joined in the middle": {func(w *wire) {
			near := link{w, "lan0", lanClient, outside, 77}
			near.says("geheim")
			near.replies("230 in")
			near.says("NOOP")
			near.replies("200 ok")
		}, []string{"it was there already", "client: NOOP", "server: 200 ok"}, []string{"geheim"}},
		"bytes that were not captured": {func(w *wire) {
			near := w.dial("lan0", lanClient, outside).answer()
			near.w.seqs[near.key(true)] += 30 // nobody saw "PASS gehe" and the like
			near.says("im")
			near.replies("230 in") // the server has them all
			near.says("NOOP")
		}, []string{"lost 30 bytes of the client (lan0): they were not captured", "client: NOOP"}, []string{"client: im"}},
		"in another order, and twice": {func(w *wire) {
			near := w.dial("lan0", lanClient, outside).answer()
			base := near.w.seqs[near.key(true)]
			send := func(off uint32, data string) {
				w.take(packet{on: "lan0", from: lanClient, to: outside, flags: "A", seq: base + off, data: data})
			}
			send(10, "NOOP\r\n")
			send(0, "USER ")
			send(5, "bob\r\n")
			send(0, "USER bob\r\n")
		}, []string{"client: USER bob", "client: NOOP"}, []string{"lost"}},
		"text that would disturb a terminal": {func(w *wire) {
			w.dial("lan0", lanClient, outside).answer().says("CWD \x1b[2Jx")
		}, []string{`client: CWD \x1b[2Jx`}, []string{"\x1b"}},
		"a reply of several lines": {func(w *wire) {
			near, far := gateway(w)
			both(near, far, true, "FEAT")
			both(near, far, false, "211-Features:\r\n EPSV\r\n211 End")
		}, []string{"server: 211-Features: … (3 lines)"}, []string{"the client got"}},
		"IPv6": {func(w *wire) {
			near := w.dial("lan0", "[2001:db8:50::10]:40000", "[2001:db8:113::20]:21").answer()
			near.says("EPRT |2|2001:db8:50::10|6275|")
			w.dial("lan0", "[2001:db8:113::20]:20", "[2001:db8:50::10]:6275").answer()
		}, []string{"client: EPRT", "data: SYN [2001:db8:113::20]:20 → [2001:db8:50::10]:6275 (lan0)", "answered"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, Options{Own: own})
			c.happens(w)
			w.follower.Close()
			w.mustTell(c.told...)
			for _, not := range c.not {
				if strings.Contains(w.told(), not) {
					t.Errorf("it tells %q:\n%s", not, w.told())
				}
			}
		})
	}
}

// TestPairs: the gateway's connections are told from clients', also where it is not known which addresses are the router's.
func TestPairs(t *testing.T) {
	for name, own := range map[string]func(netip.Addr) bool{"own addresses known": own, "not known": nil} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, Options{Own: own})
			const many = 5
			var near, far [many]link
			for i := range many {
				port := string(rune('1' + i))
				near[i] = w.dial("lan0", "192.168.50.1"+port+":40000", outside).answer()
			}
			for i := range many {
				far[i] = w.dial("wan0", "203.0.113.1:3100"+string(rune('1'+i)), outside).answer()
			}
			for i := range many {
				both(near[i], far[i], false, "220 ready "+string(rune('1'+i)))
			}
			for i := range many {
				both(near[i], far[i], true, "NOOP")
				near[i].says("PORT 192,168,50,1" + string(rune('1'+i)) + ",24,131")
				far[i].says("PORT 203,0,113,1,195,8" + string(rune('1'+i)))
			}
			summary := w.follower.Close()
			if summary.Sessions != many || strings.Count(w.told(), "the gateway connects") != many {
				t.Fatalf("%d sessions of %d:\n%s", summary.Sessions, many, w.told())
			}
			for i := range many {
				n := string(rune('1' + i))
				if want := "the server got: PORT 203,0,113,1,195,8" + n + " (another address: 192.168.50.1" + n + ":6275"; !strings.Contains(w.told(), want) {
					t.Errorf("%q is missing:\n%s", want, w.told())
				}
			}
		})
	}
}

// TestPairsAlike: sessions that begin at once and say the same are told apart by the order in which things are said.
func TestPairsAlike(t *testing.T) {
	w := newWire(t, Options{Own: own})
	const many = 5
	var near, far [many]link
	for i := range many {
		near[i] = w.dial("lan0", "192.168.50.1"+string(rune('1'+i))+":40000", outside).answer()
	}
	for i := range many {
		far[many-1-i] = w.dial("wan0", "203.0.113.1:3100"+string(rune('1'+many-1-i)), outside).answer()
	}
	for i := range many {
		far[i].replies("220 ready")
	}
	for i := range many {
		near[i].replies("220 ready")
	}
	for i := range many {
		both(near[i], far[i], true, "USER bob")
	}
	for i := range many {
		far[i].replies("331 password")
	}
	for i := range many {
		near[i].replies("331 password")
		near[i].says("PORT 192,168,50,1" + string(rune('1'+i)) + ",24,131")
	}
	for i := range many {
		far[i].says("PORT 203,0,113,1,195,8" + string(rune('1'+i)))
	}
	summary := w.follower.Close()
	if summary.Sessions != many || strings.Count(w.told(), "the gateway connects") != many {
		t.Fatalf("%d sessions of %d:\n%s", summary.Sessions, many, w.told())
	}
	for i := range many {
		n := string(rune('1' + i))
		if want := "the server got: PORT 203,0,113,1,195,8" + n + " (another address: 192.168.50.1" + n + ":6275"; !strings.Contains(w.told(), want) {
			t.Errorf("%q is missing:\n%s", want, w.told())
		}
	}
}

// TestEarlier: what is told late has its own time, and what comes after it counts from the latest line.
func TestEarlier(t *testing.T) {
	var out strings.Builder
	p := NewPrinter(&out)
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, after := range []time.Duration{0, 12 * time.Second, 300 * time.Millisecond, 12500 * time.Millisecond} {
		if err := p.Print(Line{Time: begin.Add(after), Session: 1, Text: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	want := "03:04:05.000            [1] x\n03:04:17.000     +12 s  [1] x\n03:04:05.300   earlier  [1] x\n03:04:17.500   +500 ms  [1] x\n"
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
}

// TestOrder: what comes too late by less than the bound is put in its place; so is the rest at the end.
func TestOrder(t *testing.T) {
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var got []int
	o := NewOrder(100*time.Millisecond, func(s *Segment) error {
		got = append(got, int(s.Time.Sub(begin).Milliseconds()))
		return nil
	})
	for _, at := range []int{0, 50, 20, 140, 130} {
		if err := o.Add(&Segment{Packet: &Packet{Time: begin.Add(time.Duration(at) * time.Millisecond)}}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []int{0, 20}; !slices.Equal(got, want) {
		t.Errorf("given %v, want %v", got, want)
	}
	if err := o.Advance(begin.Add(235 * time.Millisecond)); err != nil || !slices.Equal(got, []int{0, 20, 50, 130}) {
		t.Errorf("after a while %v, %v", got, err)
	}
	if err := o.Flush(); err != nil || !slices.Equal(got, []int{0, 20, 50, 130, 140}) {
		t.Errorf("at the end %v, %v", got, err)
	}
}

// TestClients: only the sessions of the client that was asked for are told, kept and counted.
func TestClients(t *testing.T) {
	w := newWire(t, Options{Own: own, Client: func(a netip.Addr) bool { return a == netip.MustParseAddr("192.168.50.11") }})
	gateway(w)
	w.dial("lan0", "192.168.50.11:40000", outside).answer().says("USER eve")
	if summary := w.follower.Close(); summary.Sessions != 1 || strings.Contains(w.told(), "bob") || !strings.Contains(w.told(), "USER eve") {
		t.Errorf("%+v\n%s", summary, w.told())
	}
}

// TestBytes: the bytes of a file beyond 4 GiB are counted from the few segments that the filter lets through.
func TestBytes(t *testing.T) {
	w := newWire(t, Options{Own: own})
	near := w.dial("lan0", lanClient, outside).answer()
	near.says("EPSV")
	near.replies("229 go (|||51201|)")
	data := w.dial("lan0", "192.168.50.10:41000", "203.0.113.20:51201").answer()
	const size = 9<<30 + 17
	first := data.w.seqs[data.key(false)]
	for sent := int64(0); sent < size; sent += 64 << 10 {
		if seq := first + uint32(sent); seq&markers == 0 {
			w.take(packet{on: "lan0", from: data.to, to: data.from, flags: "A", seq: seq, data: "x"})
		}
	}
	w.take(packet{on: "lan0", from: data.to, to: data.from, flags: "FA", seq: first + uint32(size&0xffffffff)})
	data.segment(true, "F", "")
	w.mustTell("9663676433 bytes from the server")
}
