//go:build kernel

package nat

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sys/unix"
)

// watched is a lab whose router gives connections for its LAN address to the server,
// those for port 50000 and up with the mark of flows.
type watched struct {
	*lab
	flows *Flows
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	w := &watched{lab: newLab(t)}
	for tables, a := range map[string]addresses{"iptables": families["IPv4"], "ip6tables": families["IPv6"]} {
		pre := fmt.Sprintf("%s -w -t nat -A PREROUTING -i %s -p tcp -d %s", tables, toClient, a.routerIn)
		w.router.run(t, fmt.Sprintf("%s --dport 50000: -j CONNMARK --set-xmark %#x/%#x", pre, testFlowMark, testMask))
		w.router.run(t, fmt.Sprintf("%s -j DNAT --to-destination %s", pre, bracketed(a.server)))
	}
	w.router.do(t, func() {
		settings := Settings{Dir: t.TempDir()}
		_, err := settings.EnableEvents()
		must(t, err)
		_, err = settings.EnableAccounting()
		must(t, err)
		w.flows, err = Watch(zaptest.NewLogger(t), testFlowMark, testMask)
		must(t, err)
	})
	t.Cleanup(func() {
		if err := w.flows.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func bracketed(address netip.Addr) string {
	if address.Is6() {
		return "[" + address.String() + "]"
	}
	return address.String()
}

// connect opens an expected connection to a port through the router.
func (w *watched) connect(t *testing.T, a addresses, port uint16) (flow *Flow, client, server *net.TCPConn) {
	t.Helper()
	listener := w.server.listenOn(t, netip.AddrPortFrom(a.server, port))
	defer listener.Close()
	destination := netip.AddrPortFrom(a.routerIn, port)
	flow = w.flows.Expect(a.client, destination)
	client, err := w.client.dial(t, destination)
	if err != nil {
		t.Fatal(err)
	}
	return flow, client, accept(t, listener)
}

func wait(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(testTimeout):
		t.Fatalf("no event: %s", what)
	}
}

func isOver(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// A connection is seen to begin, to carry bytes, and to end with a FIN of each side.
func TestFlowOfATransfer(t *testing.T) {
	const size = 10 << 20
	w := newWatched(t)
	for family, a := range families {
		for _, stamps := range []string{"1", "0"} {
			for _, upload := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/timestamps=%s/upload=%v", family, stamps, upload), func(t *testing.T) {
					w.client.sysctl(t, "net.ipv4.tcp_timestamps", stamps)
					flow, client, server := w.connect(t, a, 50000)
					defer flow.Forget()
					wait(t, "began", flow.Began())
					sender, receiver := client, server
					if !upload {
						sender, receiver = server, client
					}
					go func() {
						io.CopyN(sender, endless{}, size)
						sender.CloseWrite()
					}()
					if n, err := io.Copy(io.Discard, receiver); n != size || err != nil {
						t.Fatalf("received %d, %v", n, err)
					}
					flow.Closing()
					time.Sleep(2 * firstLook)
					if isOver(flow.Ended()) {
						t.Error("ended while one side is open")
					}
					again := retransmitted(t, sender)
					receiver.Close()
					wait(t, "ended", flow.Ended())
					checkTransfer(t, flow, upload, size, again)
				})
			}
		}
	}
	if stats := w.flows.Stats(); stats.Expected+stats.Running+stats.Ended != 0 || stats.Lost != 0 {
		t.Errorf("in the end: %+v", stats)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// retransmitted returns how many bytes a socket has sent more than once.
func retransmitted(t *testing.T, conn *net.TCPConn) (bytes uint64) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = control(raw, func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			bytes = info.Bytes_retrans
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// checkTransfer wants the exact size but for what a busy machine has lost and sent again.
func checkTransfer(t *testing.T, flow *Flow, upload bool, size, again uint64) {
	t.Helper()
	counters, err := flow.Counters()
	if err != nil {
		t.Fatal(err)
	}
	carried, acknowledged := counters.Original, counters.Reply
	if !upload {
		carried, acknowledged = acknowledged, carried
	}
	if carried.Payload < size || carried.Payload > size+again {
		t.Errorf("carried %d, want %d and at most %d again", carried.Payload, size, again)
	}
	// Segments that overtake one another bring some selective acknowledgements of 12
	// bytes and more; timestamps that were not seen would be 12 bytes in each.
	if mean := acknowledged.Payload / acknowledged.Packets; again == 0 && mean > 3 {
		t.Errorf("%d acknowledgements have carried %d", acknowledged.Packets, acknowledged.Payload)
	}
	if counters.Reset || counters.Began.IsZero() || counters.Ended.Before(counters.Began) {
		t.Errorf("counters: %+v", counters)
	}
}

// A reset ends a connection at once.
func TestFlowOfAReset(t *testing.T) {
	w := newWatched(t)
	for family, a := range families {
		t.Run(family, func(t *testing.T) {
			flow, client, server := w.connect(t, a, 50000)
			server.Write([]byte("some of it"))
			read(t, client, "some of it")
			client.SetLinger(0)
			client.Close()
			flow.Closing()
			wait(t, "ended", flow.Ended())
			counters, err := flow.Counters()
			if err != nil || !counters.Reset || counters.Reply.Payload != 10 {
				t.Errorf("counters: %+v, %v", counters, err)
			}
			flow.Forget()
		})
	}
}

// A connection that is refused begins and ends like any other.
func TestFlowOfARefusal(t *testing.T) {
	w := newWatched(t)
	for family, a := range families {
		t.Run(family, func(t *testing.T) {
			nobody := netip.AddrPortFrom(a.routerIn, 50001)
			flow := w.flows.Expect(a.client, nobody)
			called, again := make(chan struct{}), make(chan struct{})
			flow.OnBegan(func() { close(called) })
			if _, err := w.client.dial(t, nobody); err == nil {
				t.Fatal("somebody listens there")
			}
			wait(t, "began", flow.Began())
			wait(t, "began, called", called)
			flow.OnBegan(func() { close(again) })
			if !isOver(again) {
				t.Error("who asks after the beginning is not called")
			}
			wait(t, "ended", flow.Ended())
			flow.Forget()
			w.flows.mu.Lock()
			defer w.flows.mu.Unlock()
			if n := len(w.flows.tracked); n != 0 {
				t.Errorf("%d connections are still tracked", n)
			}
		})
	}
}

// Counters are read while the connection runs; a killed one is over for both sides.
func TestKillFlow(t *testing.T) {
	w := newWatched(t)
	w.router.sysctl(t, "net.netfilter.nf_conntrack_tcp_loose", "0")
	for family, a := range families {
		t.Run(family, func(t *testing.T) {
			flow, client, server := w.connect(t, a, 50000)
			defer flow.Forget()
			wait(t, "began", flow.Began())
			client.Write(make([]byte, 1000))
			io.ReadFull(server, make([]byte, 1000))
			if counters, err := flow.Counters(); err != nil || counters.Original.Payload != 1000 || !counters.Ended.IsZero() {
				t.Errorf("while it runs: %+v, %v", counters, err)
			}
			if err := flow.Kill(); err != nil {
				t.Fatal(err)
			}
			wait(t, "ended", flow.Ended())
			if counters, err := flow.Counters(); err != nil || counters.Original.Payload != 1000 {
				t.Errorf("after it was killed: %+v, %v", counters, err)
			}
			client.Write([]byte("is anybody there?"))
			if _, err := client.Read(make([]byte, 1)); err == nil {
				t.Error("the client can still read")
			}
			if err := flow.Kill(); err != nil {
				t.Errorf("killed again: %v", err)
			}
		})
	}
}

// One Flow is one connection, the newest expectation comes first, and what nobody
// expects or nobody has marked belongs to nobody.
func TestFlowsAreToldApart(t *testing.T) {
	w := newWatched(t)
	a := families["IPv4"]
	for _, port := range []uint16{50000, 21} {
		w.server.listenOn(t, netip.AddrPortFrom(a.server, port))
	}
	destination := netip.AddrPortFrom(a.routerIn, 50000)
	dial := func(to netip.AddrPort) *net.TCPConn {
		conn, err := w.client.dial(t, to)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	older := w.flows.Expect(a.client, destination)
	newer := w.flows.Expect(netip.AddrFrom16(a.client.As16()), destination)
	unmarked := w.flows.Expect(a.client, netip.AddrPortFrom(a.routerIn, 21))
	stranger := w.flows.Expect(a.server, destination)
	dial(netip.AddrPortFrom(a.routerIn, 21))
	first := dial(destination)
	wait(t, "the newer began", newer.Began())
	if isOver(older.Began()) || isOver(unmarked.Began()) || isOver(stranger.Began()) {
		t.Error("another connection was taken for an expected one")
	}
	second := dial(destination)
	wait(t, "the older began", older.Began())
	dial(destination) // of nobody
	first.SetLinger(0)
	first.Close()
	newer.Closing()
	wait(t, "the newer ended", newer.Ended())
	if isOver(older.Ended()) {
		t.Error("the end of one is taken for that of another")
	}
	if stats := w.flows.Stats(); stats.Expected != 2 || stats.Running != 1 || stats.Ended != 1 {
		t.Errorf("%+v", stats)
	}
	if known := localOf(second); !w.flows.Known(known, destination) || w.flows.Known(netip.AddrPortFrom(known.Addr(), 1), destination) {
		t.Error("Known does not know")
	}
	for _, flow := range []*Flow{older, newer, unmarked, stranger, stranger} {
		flow.Forget()
	}
	if stats := w.flows.Stats(); stats.Expected+stats.Running+stats.Ended != 0 {
		t.Errorf("all forgotten: %+v", stats)
	}
}

// Where events are lost, a listing tells what has begun, ended and gone meanwhile.
func TestFlowsResynchronise(t *testing.T) {
	w := newWatched(t)
	a := families["IPv4"]
	gone, goner, _ := w.connect(t, a, 50000)
	ended, ender, _ := w.connect(t, a, 50001)
	wait(t, "began", gone.Began())
	wait(t, "began", ended.Began())
	err := control(w.flows.events.raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1) // the least there is
	})
	if err != nil {
		t.Fatal(err)
	}

	w.flows.mu.Lock() // the reader stands still
	goOn := sync.OnceFunc(w.flows.mu.Unlock)
	defer goOn()
	listener := w.server.listenOn(t, netip.AddrPortFrom(a.server, 50002))
	for range 20 {
		if _, err := w.client.dial(t, netip.AddrPortFrom(a.routerIn, 50002)); err != nil {
			t.Fatal(err)
		}
		accept(t, listener)
	}
	if err := w.flows.table.remove(gone.handle, gone.id); err != nil {
		t.Fatal(err)
	}
	goner.Close()
	ender.SetLinger(0)
	ender.Close()
	goOn()

	wait(t, "gone while events were lost", gone.Ended())
	wait(t, "ended while events were lost", ended.Ended())
	begun, _, _ := w.connect(t, a, 50003)
	wait(t, "began after events were lost", begun.Began())
	if isOver(begun.Ended()) {
		t.Error("a running connection is taken for ended")
	}
	if stats := w.flows.Stats(); stats.Lost == 0 {
		t.Errorf("%+v", stats)
	}
	for _, flow := range []*Flow{gone, ended, begun} {
		flow.Forget()
	}
}

// Close does not hang, neither idle nor again, and needs no event.
func TestCloseFlows(t *testing.T) {
	h := newHost(t, "router")
	h.do(t, func() {
		flows, err := Watch(zap.NewNop(), testFlowMark, testMask)
		must(t, err)
		flow := flows.Expect(netip.MustParseAddr("10.1.0.2"), netip.MustParseAddrPort("10.1.0.1:50000"))
		done := make(chan struct{})
		go func() {
			defer close(done)
			flows.Close()
			flows.Close()
		}()
		select {
		case <-done:
		case <-time.After(testTimeout):
			t.Error("Close hangs")
		}
		flow.Forget()
		if err := flow.Kill(); err != nil {
			t.Error(err)
		}
	})
}
