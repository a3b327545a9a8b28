package nat

import (
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
	"go.uber.org/zap"
)

const (
	// firstLook is the time from Closing to the first look: the connection is about to
	// end, its events may still wait for the reader, and others gather for one question.
	firstLook = 2 * eventRest
	// firstLookAtForgotten is the same for one that nobody waits for.
	firstLookAtForgotten = time.Second
	// lastLook bounds the time between two looks, each of which is twice the one before.
	lastLook = 10 * time.Second
	// goneFor is how long an entry may be missing before its event, which has the last
	// counters, is no longer waited for.
	goneFor = 20 * firstLook
)

// lookout looks for the ends of connections. Its fields are guarded by Flows.mu, but for
// the asker, which is guarded by asking.
type lookout struct {
	looks []look
	alarm *time.Timer // nil: no look is due
	due   time.Time   // when it rings
	shut  bool

	asking sync.Mutex
	asker  *asker
}

// look is a connection whose end is looked for.
type look struct {
	flow  *Flow
	at    time.Time
	pause time.Duration // from the last look to this one
}

// lookFor is called with mu held.
func (f *Flows) lookFor(flow *Flow) {
	f.lookAt(look{flow, time.Now().Add(firstLook), firstLook})
}

// lookAt sets the alarm, if it would ring too late. It is called with mu held.
func (f *Flows) lookAt(l look) {
	f.looks = append(f.looks, l)
	switch {
	case f.shut:
	case f.alarm == nil:
		f.due = l.at
		f.alarm = time.AfterFunc(time.Until(l.at), f.lookAround)
	case l.at.Before(f.due):
		f.due = l.at
		f.alarm.Reset(time.Until(l.at))
	}
}

// lookAround asks for all connections whose time has come, with one question.
func (f *Flows) lookAround() {
	f.asking.Lock()
	defer f.asking.Unlock()
	looks := f.dueLooks(time.Now())
	if len(looks) == 0 {
		return
	}
	handles := make([]handle, len(looks))
	for i, l := range looks {
		handles[i] = l.flow.handle
	}
	found := make(map[int]entry, len(looks))
	if err := f.asker.ask(handles, func(i int, now entry) {
		if now.id == looks[i].flow.id {
			found[i] = entry{state: now.state, original: now.original, reply: now.reply, tuple: now.tuple}
		}
	}); err != nil {
		f.log.Error("the ends of connections are not known", zap.Error(err))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for i, l := range looks {
		last, there := found[i]
		cleared, was := f.cleared[l.flow.id]
		switch {
		case there && last.over():
			f.end(l.flow, last)
		case was:
			f.end(l.flow, cleared.entry)
		case !there && l.pause >= goneFor:
			f.end(l.flow, entry{})
		default:
			pause := min(2*l.pause, lastLook)
			f.lookAt(look{l.flow, now.Add(pause), pause})
		}
	}
}

// dueLooks takes out the looks whose time has come, and sets the alarm for the others.
func (f *Flows) dueLooks(now time.Time) (due []look) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.looks
	f.looks, f.alarm = nil, nil
	for _, l := range all {
		switch {
		case l.flow.over():
		case l.at.After(now):
			f.lookAt(l)
		default:
			due = append(due, l)
		}
	}
	return due
}

// end tells the end of a connection, with the last that is known of it. It is called
// with mu held.
func (f *Flows) end(flow *Flow, last entry) {
	if flow.over() {
		return
	}
	flow.count(last)
	flow.count(f.cleared[flow.id].entry) // nothing, as a rule
	delete(f.cleared, flow.id)
	flow.counters.Ended = time.Now()
	flow.counters.Reset = last.state == nl.TCP_CONNTRACK_CLOSE
	close(flow.ended)
	if flow.forgotten {
		f.untrack(flow)
	} else {
		f.stats.Running--
		f.stats.Ended++
	}
}

// stopLooking ends the looks; none is in progress when it returns.
func (f *Flows) stopLooking() {
	f.mu.Lock()
	f.shut = true
	if f.alarm != nil {
		f.alarm.Stop()
	}
	f.mu.Unlock()
	f.asking.Lock()
	defer f.asking.Unlock()
	f.asker.close()
}
