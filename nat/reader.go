package nat

import (
	"errors"
	"maps"
	"slices"
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
	// clearingTime is how long the last counters of an entry that was removed are kept:
	// many times what the events of its end may lie in the queue.
	clearingTime = time.Second
)

// clearing is an entry that Clear has removed, as it was then.
type clearing struct {
	entry
	at time.Time
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
			f.forgetCleared(time.Now())
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

// handle brings one event home.
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
	if flow != nil && (gone || e.over()) {
		f.end(flow, e)
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
	if flow.onBegan != nil {
		flow.onBegan()
	}
	switch cleared, was := f.cleared[e.id]; {
	case was && cleared.over():
		f.end(flow, cleared.entry)
	case flow.closing:
		f.lookAt(flow, firstLook)
	default:
		f.lookAt(flow, usualLook)
	}
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

// forgetCleared drops what was kept for an end that had been told before.
func (f *Flows) forgetCleared(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.cleared, func(_ uint32, c clearing) bool { return now.Sub(c.at) > clearingTime })
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
}
