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
	// lastLook bounds the time between two looks after Closing, each of which is twice the
	// one before.
	lastLook = 10 * time.Second
	// usualLook is the time between two looks at a connection of which nobody has said that
	// it should end. Conntrack keeps what has ended for two minutes.
	usualLook = 30 * time.Second
	// goneFor is how long an entry may be missing before its event, which has the last
	// counters, is no longer waited for.
	goneFor = 20 * firstLook
)

// lookout looks for the ends of connections. Its fields are guarded by Flows.mu, but for
// the asker, which is guarded by asking.
type lookout struct {
	looks []*Flow     // all that are looked at
	alarm *time.Timer // nil: no look is due
	due   time.Time   // when it rings
	shut  bool

	asking sync.Mutex
	asker  *asker
}

// look is when a Flow is looked at next.
type look struct {
	listed bool // the Flow is among the looks
	at     time.Time
	pause  time.Duration // from the last look to this one
}

// lookAt has a Flow looked at after a pause, in the place of a later look. It is called
// with mu held.
func (f *Flows) lookAt(flow *Flow, pause time.Duration) {
	at := time.Now().Add(pause)
	if flow.look.listed && flow.look.at.Before(at) {
		return
	}
	flow.look.at, flow.look.pause = at, pause
	if !flow.look.listed {
		flow.look.listed = true
		f.looks = append(f.looks, flow)
	}
	f.ring(at)
}

// ring sets the alarm, if it would ring later. It is called with mu held.
func (f *Flows) ring(at time.Time) {
	switch {
	case f.shut:
	case f.alarm == nil:
		f.due = at
		f.alarm = time.AfterFunc(time.Until(at), f.lookAround)
	case at.Before(f.due):
		f.due = at
		f.alarm.Reset(time.Until(at))
	}
}

// lookAround asks for all connections whose time has come, with one question.
func (f *Flows) lookAround() {
	f.asking.Lock()
	defer f.asking.Unlock()
	flows := f.dueLooks(time.Now())
	if len(flows) == 0 {
		return
	}
	handles := make([]handle, len(flows))
	for i, flow := range flows {
		handles[i] = flow.handle
	}
	found := make(map[int]entry, len(flows))
	failed := f.asker.ask(handles, func(i int, now entry) {
		if now.id == flows[i].id {
			found[i] = entry{state: now.state, original: now.original, reply: now.reply, tuple: now.tuple}
		}
	})
	if failed != nil {
		f.log.Error("the ends of connections are not known", zap.Error(failed))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, flow := range flows {
		now, there := found[i]
		f.looked(flow, now, there, failed == nil)
	}
}

// looked says what a look has found. It is called with mu held.
func (f *Flows) looked(flow *Flow, now entry, there, sure bool) {
	cleared, was := f.cleared[flow.id]
	switch {
	case flow.over():
	case there && now.over():
		f.end(flow, now)
	case was && cleared.over():
		f.end(flow, cleared.entry)
	case there:
		flow.count(now)
		f.lookAgain(flow)
	case sure && flow.look.pause >= goneFor:
		f.end(flow, entry{})
	case sure && !flow.closing:
		flow.closing = true
		f.lookAt(flow, firstLook)
	default:
		f.lookAgain(flow)
	}
}

func (f *Flows) lookAgain(flow *Flow) {
	pause := usualLook
	if flow.closing {
		pause = min(2*flow.look.pause, lastLook)
	}
	f.lookAt(flow, pause)
}

// dueLooks takes out the Flows whose time has come, and sets the alarm for the others.
func (f *Flows) dueLooks(now time.Time) (due []*Flow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alarm = nil
	if f.shut {
		return nil
	}
	kept := f.looks[:0]
	for _, flow := range f.looks {
		switch {
		case flow.over():
			flow.look.listed = false
		case flow.look.at.After(now):
			kept = append(kept, flow)
			f.ring(flow.look.at)
		default:
			flow.look.listed = false
			due = append(due, flow)
		}
	}
	clear(f.looks[len(kept):])
	f.looks = kept
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
	f.shut, f.looks = true, nil
	if f.alarm != nil {
		f.alarm.Stop()
	}
	f.mu.Unlock()
	f.asking.Lock()
	defer f.asking.Unlock()
	f.asker.close()
}
