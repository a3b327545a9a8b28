package nat

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// Flows follows connections by the events of conntrack. One goroutine reads them; a
// filter in the kernel lets only those of marked connections through, so that other
// traffic costs nothing. The kernel is asked for the end of those that should be over.
type Flows struct {
	log     *zap.Logger
	events  *eventSocket
	table   *conntrack
	mark    uint32
	mask    uint32
	closing chan struct{}
	done    chan struct{} // the reader has ended

	mu       sync.Mutex
	expected map[flowKey][]*Flow // the newest last
	tracked  map[tuple]*Flow     // begun, and not both ended and forgotten
	cleared  map[uint32]clearing // entries that Clear has removed, by id, until their end is told
	stats    FlowStats
	closed   bool

	lookout

	finding sync.Mutex
	finder  *asker // of find; nil: closed
}

// flowKey is what is known of a connection before it comes.
type flowKey struct {
	source      netip.Addr
	destination netip.AddrPort
}

// tuple is the original direction of a connection.
type tuple struct{ source, destination netip.AddrPort }

func (t tuple) key() flowKey { return flowKey{t.source.Addr(), t.destination} }

// FlowStats tells what Flows holds at one moment and has seen since Watch.
type FlowStats struct {
	Expected int    // awaited connections
	Running  int    // begun and not ended
	Ended    int    // ended and not forgotten
	Events   uint64 // events of marked connections
	Lost     uint64 // how often the kernel had more events than the socket could take
}

// Watch begins to follow connections whose connection mark is mark under mask. Events
// are subscribed when it returns: what is expected from then on is not missed. It takes
// CAP_NET_ADMIN, EnableEvents where they were off, and EnableAccounting for counters.
// The caller closes the Flows.
func Watch(log *zap.Logger, mark, mask uint32) (*Flows, error) {
	table, err := openConntrack(mark, mask)
	if err != nil {
		return nil, fmt.Errorf("watch connections: %w", err)
	}
	events, err := openEvents(mark, mask)
	if err != nil {
		table.close()
		return nil, fmt.Errorf("watch connections: %w", err)
	}
	asker, err := openAsker()
	if err != nil {
		table.close()
		events.close()
		return nil, fmt.Errorf("watch connections: %w", err)
	}
	finder, err := openAsker()
	if err != nil {
		table.close()
		events.close()
		asker.close()
		return nil, fmt.Errorf("watch connections: %w", err)
	}
	f := &Flows{
		log:      log,
		events:   events,
		lookout:  lookout{asker: asker},
		finder:   finder,
		table:    table,
		mark:     mark,
		mask:     mask,
		closing:  make(chan struct{}),
		done:     make(chan struct{}),
		expected: map[flowKey][]*Flow{},
		tracked:  map[tuple]*Flow{},
		cleared:  map[uint32]clearing{},
	}
	go f.read()
	return f, nil
}

// Expect awaits the next connection from source to destination, as its first packet
// bears them before any translation. One Flow is one connection; of several that await
// the same, the newest gets the first to come. The caller forgets the Flow.
func (f *Flows) Expect(source netip.Addr, destination netip.AddrPort) *Flow {
	flow := &Flow{
		flows: f,
		key: flowKey{
			source:      plain(source),
			destination: netip.AddrPortFrom(plain(destination.Addr()), destination.Port()),
		},
		began: make(chan struct{}),
		ended: make(chan struct{}),
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expected[flow.key] = append(f.expected[flow.key], flow)
	f.stats.Expected++
	return flow
}

// plain returns an address as conntrack knows it: without a zone.
func plain(address netip.Addr) netip.Addr { return address.Unmap().WithZone("") }

// Known reports whether conntrack has a connection from source to destination, in
// either of its directions and whatever its mark. An error of netlink counts as no.
func (f *Flows) Known(source, destination netip.AddrPort) bool {
	_, err := f.table.get(between(source, destination).handle())
	return err == nil
}

func between(source, destination netip.AddrPort) tuple {
	return tuple{
		netip.AddrPortFrom(plain(source.Addr()), source.Port()),
		netip.AddrPortFrom(plain(destination.Addr()), destination.Port()),
	}
}

// Clear removes the entry of a marked connection between two ends that is over. Conntrack
// keeps it for two minutes, and where a client listens at the same port again, the next
// connection from the same port of its server would clash with it: the kernel then looks for
// another source port, and now and then drops the first packet instead.
func (f *Flows) Clear(source, destination netip.AddrPort) {
	h := between(source, destination).handle()
	e, found := f.find(h)
	if !found || e.mark&f.mask != f.mark {
		return
	}
	f.mu.Lock()
	switch flow := f.tracked[e.tuple]; {
	case flow == nil || flow.id != e.id: // the reader may not have read of its beginning yet
		f.cleared[e.id] = clearing{e, time.Now()}
	case e.over():
		f.end(flow, e)
	default:
		flow.count(e)
	}
	f.mu.Unlock()
	if !e.over() {
		return
	}
	if err := f.table.remove(h, e.id); err != nil && !errors.Is(err, unix.ENOENT) {
		f.log.Warn("cannot remove the entry of a connection that is over", zap.Error(err))
	}
}

// Helper names the conntrack helper that works on the connection between two ends; "":
// none does, or there is no such connection.
func (f *Flows) Helper(source, destination netip.AddrPort) string {
	e, _ := f.find(between(source, destination).handle())
	return e.helper
}

// find asks for one entry. What it returns has no handle.
func (f *Flows) find(h handle) (e entry, found bool) {
	f.finding.Lock()
	defer f.finding.Unlock()
	if f.finder == nil {
		return entry{}, false // closed
	}
	if err := f.finder.ask([]handle{h}, func(_ int, now entry) {
		e, found = now, true
		e.rawTuple, e.rawZone = nil, nil
	}); err != nil {
		f.log.Warn("cannot ask conntrack for a connection", zap.Error(err))
	}
	return e, found
}

// Stats returns the present numbers.
func (f *Flows) Stats() FlowStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}

// Close ends the watching. Flows that are running then are never told their end. It
// may be called again.
func (f *Flows) Close() error {
	f.mu.Lock()
	closed := f.closed
	f.closed = true
	f.mu.Unlock()
	if closed {
		<-f.done
		return nil
	}
	close(f.closing)
	err := f.events.close()
	<-f.done
	f.table.close()
	f.stopLooking()
	f.finding.Lock()
	f.finder.close()
	f.finder = nil
	f.finding.Unlock()
	if err != nil {
		return fmt.Errorf("stop watching connections: %w", err)
	}
	return nil
}
