package nat

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

const (
	// eventRetryPause keeps a failing event socket from spinning.
	eventRetryPause = time.Second
	// eventRest gathers events: where files are small each would wake the reader, at the
	// cost of the very packets that it tells of.
	eventRest = 5 * time.Millisecond
)

// Flows follows connections by the events of conntrack. One goroutine reads them; a
// filter in the kernel lets only those of marked connections through, so that other
// traffic costs nothing.
type Flows struct {
	log     *zap.Logger
	events  *eventSocket
	asker   *asker // of the reader
	table   *conntrack
	mark    uint32
	mask    uint32
	closing chan struct{}
	done    chan struct{} // the reader has ended

	mu       sync.Mutex
	expected map[flowKey][]*Flow // the newest last
	tracked  map[tuple]*Flow     // begun, and not both ended and forgotten
	stats    FlowStats
	closed   bool

	endings []flowEnd // of the reader: not yet told
}

// flowEnd is a connection that has ended, with its entry as the event showed it.
type flowEnd struct {
	flow *Flow
	last entry
	gone bool // conntrack has no entry any more
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
	f := &Flows{
		log:      log,
		events:   events,
		asker:    asker,
		table:    table,
		mark:     mark,
		mask:     mask,
		closing:  make(chan struct{}),
		done:     make(chan struct{}),
		expected: map[flowKey][]*Flow{},
		tracked:  map[tuple]*Flow{},
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
	t := tuple{
		netip.AddrPortFrom(plain(source.Addr()), source.Port()),
		netip.AddrPortFrom(plain(destination.Addr()), destination.Port()),
	}
	_, err := f.table.get(t.handle())
	return err == nil
}

// Clear removes the entry of a marked connection between two ends that is over. Conntrack
// keeps it for two minutes, and where a client listens at the same port again, the next
// connection from the same port of its server would clash with it: the kernel then looks for
// another source port, and now and then drops the first packet instead.
func (f *Flows) Clear(source, destination netip.AddrPort) {
	t := tuple{
		netip.AddrPortFrom(plain(source.Addr()), source.Port()),
		netip.AddrPortFrom(plain(destination.Addr()), destination.Port()),
	}
	e, err := f.table.get(t.handle())
	if err != nil || !e.over() || e.mark&f.mask != f.mark {
		return
	}
	if err := f.table.remove(t.handle(), e.id); err != nil && !errors.Is(err, unix.ENOENT) {
		f.log.Warn("cannot remove the entry of a connection that is over", zap.Error(err))
	}
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
	f.asker.close()
	if err != nil {
		return fmt.Errorf("stop watching connections: %w", err)
	}
	return nil
}

// read handles events until Close. Once the kernel has lost events it loses more, and
// tells no more of it, until all that wait are read: only then a listing is complete.
func (f *Flows) read() {
	defer close(f.done)
	buffer := make([]byte, eventBufferSize)
	lost, wait := false, true
	for {
		messages, err := f.events.receive(buffer, wait)
		wait = false
		switch {
		case err != nil && f.isClosing():
			return
		case errors.Is(err, unix.ENOBUFS):
			lost = true
		case errors.Is(err, unix.EAGAIN) && lost:
			lost = false
			f.resynchronise()
		case errors.Is(err, unix.EAGAIN):
			f.finish()
			time.Sleep(eventRest)
			wait = true
		case err != nil && !errors.Is(err, unix.EINTR):
			f.log.Error("cannot read conntrack events", zap.Error(err))
			f.pause()
		}
		for _, message := range messages {
			if e, ok := parseEntry(message.Data); ok {
				f.handle(message.Header.Type, message.Header.Flags, e)
			}
		}
		if len(f.endings) >= askAtOnce {
			f.finish()
		}
	}
}

func (f *Flows) isClosing() bool {
	select {
	case <-f.closing:
		return true
	default:
		return false
	}
}

// pause waits before another attempt to read, or for Close.
func (f *Flows) pause() {
	select {
	case <-f.closing:
	case <-time.After(eventRetryPause):
	}
}

// handle brings one event home. An end is noted, and told by finish.
func (f *Flows) handle(messageType, flags uint16, e entry) {
	gone := messageType == ctMessage(nl.IPCTNL_MSG_CT_DELETE)
	fresh := !gone && flags&unix.NLM_F_CREATE != 0
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats.Events++
	flow := f.tracked[e.tuple]
	if flow != nil && flow.id != e.id {
		flow = nil
	}
	switch {
	case flow == nil && fresh:
		flow = f.begin(e)
	case flow != nil && gone:
		delete(f.tracked, e.tuple)
	}
	if flow != nil && !flow.ending && (gone || e.over()) {
		flow.ending = true
		f.endings = append(f.endings, flowEnd{flow, e, gone})
	}
}

// begin gives a new connection to the newest Flow that awaits it. It is called with mu
// held.
func (f *Flows) begin(e entry) *Flow {
	waiting := f.expected[e.tuple.key()]
	if len(waiting) == 0 {
		return nil
	}
	flow := waiting[len(waiting)-1]
	f.unexpect(flow)
	flow.start(e)
	f.tracked[e.tuple] = flow
	f.stats.Running++
	close(flow.began)
	return flow
}

// unexpect takes a Flow out of those that wait. It is called with mu held.
func (f *Flows) unexpect(flow *Flow) {
	waiting := f.expected[flow.key]
	at := slices.Index(waiting, flow)
	if at < 0 {
		return
	}
	f.stats.Expected--
	if len(waiting) == 1 {
		delete(f.expected, flow.key)
		return
	}
	f.expected[flow.key] = slices.Delete(waiting, at, at+1)
}

// finish tells the ends of connections, with their last counters. The event of a state
// change has none, so they are asked for; the entry outlives its end by its timeout.
func (f *Flows) finish() {
	if len(f.endings) == 0 {
		return
	}
	var asked []int
	var handles []handle
	for i, end := range f.endings {
		if !end.gone {
			asked, handles = append(asked, i), append(handles, end.flow.handle)
		}
	}
	err := f.asker.ask(handles, func(i int, now entry) {
		if end := &f.endings[asked[i]]; now.id == end.flow.id {
			end.last.original, end.last.reply = now.original, now.reply
		}
	})
	if err != nil {
		f.log.Error("the last counters of connections are missing", zap.Error(err))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, end := range f.endings {
		flow := end.flow
		flow.count(end.last)
		flow.counters.Ended = time.Now()
		flow.counters.Reset = end.last.state == nl.TCP_CONNTRACK_CLOSE
		close(flow.ended)
		if flow.forgotten {
			f.untrack(flow)
		} else {
			f.stats.Running--
			f.stats.Ended++
		}
	}
	clear(f.endings)
	f.endings = f.endings[:0]
}

// untrack gives up a connection that nobody is interested in any more. It is called
// with mu held.
func (f *Flows) untrack(flow *Flow) {
	if f.tracked[flow.tuple] == flow {
		delete(f.tracked, flow.tuple)
	}
}

// resynchronise asks for all marked connections after events were lost: some may have
// begun, some may have ended, some may be gone.
func (f *Flows) resynchronise() {
	f.mu.Lock()
	f.stats.Lost++
	lost := f.stats.Lost
	missing := maps.Clone(f.tracked)
	f.mu.Unlock()
	f.log.Warn("conntrack events were lost, asking for the connections instead", zap.Uint64("times", lost))
	entries, err := f.table.list()
	if err != nil {
		f.log.Error("cannot list connections after events were lost", zap.Error(err))
		return
	}
	for _, e := range entries {
		flow := missing[e.tuple]
		if flow != nil && flow.id == e.id {
			delete(missing, e.tuple)
		} else if e.over() {
			continue // of a time before, or so short that it cannot be told from such
		}
		f.handle(ctMessage(nl.IPCTNL_MSG_CT_NEW), unix.NLM_F_CREATE, e)
	}
	for t, flow := range missing {
		f.handle(ctMessage(nl.IPCTNL_MSG_CT_DELETE), 0, entry{tuple: t, id: flow.id})
	}
	f.finish()
}
