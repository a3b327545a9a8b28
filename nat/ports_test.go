package nat

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The tests hold real ports of the loopback address, outside of the ephemeral range.
var (
	public4 = netip.MustParseAddr("127.0.0.1")
	public6 = netip.MustParseAddr("::1")
	routed  = netip.MustParseAddr("198.51.100.1") // not an address of this host
	alice   = netip.MustParseAddr("203.0.113.1")
	bob     = netip.MustParseAddr("203.0.113.2")
)

func lend(t *testing.T, ports *Ports, public, peer netip.Addr) *Port {
	t.Helper()
	port, err := ports.Lend(public, peer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(port.Return)
	return port
}

// A peer gets each port once and then no more; another peer may share them.
func TestPortsAreLentOnce(t *testing.T) {
	for _, public := range []netip.Addr{public4, public6, routed} {
		ports := NewPorts(21100, 21109)
		lent := map[uint16]bool{}
		for range 10 {
			number := lend(t, ports, public, alice).Number()
			if number < 21100 || number > 21109 || lent[number] {
				t.Errorf("%s: lent %d, out of the range or twice", public, number)
			}
			lent[number] = true
		}
		if _, err := ports.Lend(public, alice); !errors.Is(err, ErrExhausted) {
			t.Errorf("%s: an eleventh port: %v", public, err)
		}
		lend(t, ports, public, bob)
		want := PortStats{Size: 10, Lent: 11, Shared: 1, Refused: 1}
		if got := ports.Stats(); got != want {
			t.Errorf("%s: %+v, want %+v", public, got, want)
		}
	}
}

// A returned port rests for a minute, unless no other is left: then the one longest at
// rest is lent.
func TestPortsRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ports := NewPorts(21110, 21112)
		first := lend(t, ports, public4, alice)
		first.Return()
		first.Return()
		for range 2 {
			port := lend(t, ports, public4, alice)
			if port.Number() == first.Number() {
				t.Errorf("%d is lent while it rests and others do not", first.Number())
			}
			time.Sleep(time.Second)
			port.Return()
		}
		if got := ports.Stats(); got.Resting != 3 || got.Lent != 0 {
			t.Errorf("%+v", got)
		}
		early := lend(t, ports, public4, alice)
		if early.Number() != first.Number() {
			t.Errorf("under need %d is lent, not %d, the longest at rest", early.Number(), first.Number())
		}
		if lend(t, ports, public4, bob).Return(); ports.Stats().Resting != 3 {
			t.Errorf("another peer disturbs a rest: %+v", ports.Stats())
		}
		early.Return()
		time.Sleep(portRest)
		if got := ports.Stats(); got.Resting != 0 || got.Lent != 0 || len(ports.pools) != 0 || len(ports.holds) != 0 {
			t.Errorf("after all rests: %+v, %d pools, %d sockets", got, len(ports.pools), len(ports.holds))
		}
	})
}

// After any use, each port can be lent again.
func TestPortsAreNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ports := NewPorts(21120, 21139)
		var lent []*Port
		for round := range 500 {
			if len(lent) < 20 && randomBelow(2) == 0 {
				lent = append(lent, lend(t, ports, routed, alice))
			} else if len(lent) > 0 {
				at := randomBelow(len(lent))
				lent[at].Return()
				lent = append(lent[:at], lent[at+1:]...)
			}
			if round%7 == 0 {
				time.Sleep(time.Duration(randomBelow(int(portRest))))
			}
		}
		for _, port := range lent {
			port.Return()
		}
		all := map[uint16]bool{}
		for range 20 {
			all[lend(t, ports, routed, alice).Number()] = true
		}
		if len(all) != 20 {
			t.Errorf("of 20 ports %d are left", len(all))
		}
	})
}

// Numbers spread over the range, in no order.
func TestPortsAreDrawnAtRandom(t *testing.T) {
	const draws, size = 20000, 10
	ports := NewPorts(21140, 21149)
	count := map[uint16]int{}
	for i := range draws {
		peer := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		port := lend(t, ports, routed, peer)
		count[port.Number()]++
		port.Return()
	}
	for number, n := range count {
		if n < draws/size*8/10 || n > draws/size*12/10 {
			t.Errorf("port %d was drawn %d times of %d", number, n, draws)
		}
	}
}

// A port with a local listener is never lent, and a lent port cannot be listened on.
func TestPortsAvoidLocalSockets(t *testing.T) {
	for public, wildcard := range map[netip.Addr]string{public4: "0.0.0.0", public6: "::"} {
		for _, address := range []string{public.String(), wildcard} {
			ports := NewPorts(21150, 21152)
			busy, err := net.Listen("tcp", netip.AddrPortFrom(netip.MustParseAddr(address), 21151).String())
			if err != nil {
				t.Fatal(err)
			}
			first, second := lend(t, ports, public, alice), lend(t, ports, public, alice)
			if first.Number() == 21151 || second.Number() == 21151 {
				t.Error("a port with a listener was lent")
			}
			if _, err := ports.Lend(public, alice); !errors.Is(err, ErrExhausted) {
				t.Errorf("with one port in use by a listener: %v", err)
			}
			busy.Close()
			third := lend(t, ports, public, alice)
			if third.Number() != 21151 {
				t.Errorf("the listener is gone and %d is lent", third.Number())
			}
			lent := netip.AddrPortFrom(netip.MustParseAddr(address), 21151).String()
			if listener, err := net.Listen("tcp", lent); err == nil {
				listener.Close()
				t.Error("a lent port can be listened on")
			}
			for _, port := range []*Port{first, second, third} {
				port.Return()
			}
			if listener, err := net.Listen("tcp", lent); err != nil {
				t.Errorf("a returned port is still held: %v", err)
			} else {
				listener.Close()
			}
		}
	}
}

// A shared port is held until its last user returns it.
func TestSharedPortIsHeldToTheLast(t *testing.T) {
	ports := NewPorts(21160, 21160)
	first, second := lend(t, ports, public4, alice), lend(t, ports, public4, bob)
	address := netip.AddrPortFrom(public4, 21160).String()
	first.Return()
	if listener, err := net.Listen("tcp", address); err == nil {
		listener.Close()
		t.Error("not held while the second peer has it")
	}
	second.Return()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("still held: %v", err)
	}
	listener.Close()
	if got := ports.Stats(); got.Shared != 0 || got.Lent != 0 || got.Resting != 2 {
		t.Errorf("%+v", got)
	}
}

func TestPortsOfAnUnknownZone(t *testing.T) {
	ports := NewPorts(21170, 21170)
	if _, err := ports.Lend(netip.MustParseAddr("fe80::1%nowhere0"), alice); err == nil || errors.Is(err, ErrExhausted) {
		t.Errorf("on an interface that does not exist: %v", err)
	}
}

func TestNewPortsPanics(t *testing.T) {
	for _, r := range [][2]uint16{{0, 10}, {10, 9}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a range from %d to %d is accepted", r[0], r[1])
				}
			}()
			NewPorts(r[0], r[1])
		}()
	}
}

// Ports are lent and returned by many sessions at once.
func TestPortsConcurrently(t *testing.T) {
	ports := NewPorts(21180, 21249)
	var sessions sync.WaitGroup
	for i := range 20 {
		sessions.Go(func() {
			peer := netip.AddrFrom4([4]byte{10, 0, 0, byte(i % 3)})
			for range 50 {
				port, err := ports.Lend(public4, peer)
				if err != nil {
					t.Error(err)
					return
				}
				port.Return()
			}
		})
	}
	sessions.Wait()
	if got := ports.Stats(); got.Lent != 0 || got.Shared != 0 {
		t.Errorf("%+v", got)
	}
}

func BenchmarkLend(b *testing.B) {
	for name, public := range map[string]netip.Addr{"local": public4, "routed": routed} {
		for _, taken := range []int{0, 1990} {
			b.Run(name+"/"+map[int]string{0: "all free", 1990: "10 of 2000 free"}[taken], func(b *testing.B) {
				ports := NewPorts(20000, 21999)
				for range taken {
					if _, err := ports.Lend(routed, alice); err != nil {
						b.Fatal(err)
					}
				}
				for b.Loop() {
					port, err := ports.Lend(public, alice)
					if err != nil {
						b.Fatal(err)
					}
					port.Return()
				}
			})
		}
	}
}
