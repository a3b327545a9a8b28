package nat

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Flow is one connection that was expected. Its methods may be called at any time from
// any goroutine.
type Flow struct {
	flows *Flows
	key   flowKey
	began chan struct{}
	ended chan struct{}

	// Set once, before began is closed.
	tuple  tuple
	id     uint32
	handle handle

	// Guarded by flows.mu.
	counters  Counters
	onBegan   func() // nil: nobody asked
	forgotten bool
	closing   bool // its end is due
	look      look
}

// Counters tells what a connection has carried. Original counts what went from source
// to destination, Reply what came back.
type Counters struct {
	Original, Reply Traffic
	Began, Ended    time.Time // zero: not yet
	Reset           bool      // ended by a reset instead of a FIN from each side
}

// Traffic is what conntrack counted in one direction. It is zero if accounting was off
// when the connection began.
type Traffic struct {
	Packets uint64
	Bytes   uint64 // with the headers of IP and TCP

	// Payload is Bytes without the headers, as far as they can be known: exact for
	// peers whose options are the usual ones, but a segment lost behind this host and
	// sent again counts twice (about 1 % at 1 % loss), and selective acknowledgements
	// count as a few bytes.
	Payload uint64
}

// Began is closed when the first packet has come.
func (f *Flow) Began() <-chan struct{} { return f.began }

// OnBegan has do called once when Began is closed, or now if it is closed already, without a goroutine that waits for it.
// do must not block and must not call the Flows or its Flow.
func (f *Flow) OnBegan(do func()) {
	f.flows.mu.Lock()
	defer f.flows.mu.Unlock()
	f.onBegan = do
	if !f.counters.Began.IsZero() {
		do()
	}
}

// Ended is closed when both sides have closed, when either has reset, or when
// conntrack has dropped the connection. The first two are noticed by Counters, and by
// themselves after Closing.
func (f *Flow) Ended() <-chan struct{} { return f.ended }

// Counters returns the present numbers, or the last ones after the end. It asks the
// kernel, which takes some 10 µs. After an error the numbers are the last known.
func (f *Flow) Counters() (Counters, error) {
	var failed error
	if f.running() {
		now, err := f.flows.table.get(f.handle)
		switch {
		case err == nil && now.id == f.id:
			f.flows.mu.Lock()
			if now.over() {
				f.flows.end(f, now)
			} else if !f.over() {
				f.count(now)
			}
			f.flows.mu.Unlock()
		case err != nil && !errors.Is(err, unix.ENOENT):
			failed = fmt.Errorf("read the counters of a connection: %w", err)
		default: // it is gone, and its last event is perhaps on its way
			f.Closing()
		}
	}
	f.flows.mu.Lock()
	defer f.flows.mu.Unlock()
	return f.counters, failed
}

// Closing says that the connection should be over about now, or has been for a moment,
// whether or not its beginning has been told: from now on its end is looked for. Who
// knows it from elsewhere spares the kernel a message for each state of each connection.
func (f *Flow) Closing() {
	all := f.flows
	all.mu.Lock()
	defer all.mu.Unlock()
	if f.closing || f.forgotten {
		return
	}
	f.closing = true
	if !f.counters.Began.IsZero() && !f.over() {
		all.lookAt(f, firstLook)
	}
}

// Kill removes a running connection from conntrack, after which its packets are
// strangers to the firewall: shut its way in first, or it may come again. It has no
// effect before Began and after Ended. The event of the removal ends the Flow.
func (f *Flow) Kill() error {
	if !f.running() {
		return nil
	}
	if err := f.flows.table.remove(f.handle, f.id); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("kill the connection from %s to %s: %w", f.tuple.source, f.tuple.destination, err)
	}
	return nil
}

// Forget ends the interest in a connection, whether or not it has come; a running one
// goes on. Forgetting it again has no effect.
func (f *Flow) Forget() {
	all := f.flows
	all.mu.Lock()
	defer all.mu.Unlock()
	if f.forgotten {
		return
	}
	f.forgotten = true
	switch {
	case f.counters.Began.IsZero():
		all.unexpect(f)
	case f.over():
		all.stats.Ended--
		all.untrack(f)
	default:
		all.stats.Running-- // it goes on, and is tracked to its end
	}
}

// running is true from Began to Ended.
func (f *Flow) running() bool {
	select {
	case <-f.began:
	default:
		return false
	}
	return !f.isEnded()
}

func (f *Flow) isEnded() bool {
	select {
	case <-f.ended:
		return true
	default:
		return false
	}
}

// start binds the Flow to an entry of conntrack. It is called with flows.mu held.
func (f *Flow) start(e entry) {
	f.tuple, f.id, f.handle = e.tuple, e.id, e.handle()
	f.counters.Began = time.Now()
}

// over is called with flows.mu held.
func (f *Flow) over() bool { return !f.counters.Ended.IsZero() }

// count takes over the counters of an entry, if it has any. It is called with
// flows.mu held.
func (f *Flow) count(e entry) {
	if e.original.Packets > 0 {
		f.counters.Original, f.counters.Reply = estimatePayload(e.original, e.reply, e.tuple.source.Addr().Is4())
	}
}

// Sizes of headers in bytes (RFC 791 3.1, RFC 8200 3, RFC 9293 3.1) and of the options
// that TCP stacks send: timestamps in every segment if both sides do (RFC 7323 3), and
// in a SYN the segment size, window scale and SACK permission besides, with padding.
const (
	ipv4Header        = 20
	ipv6Header        = 40
	tcpHeader         = 20
	timestamps        = 12
	timestampsLikely  = 8  // a mean between that of a SYN and an ACK without (46) and of a SYN and a RST with (50)
	synMoreThanData   = 8  // a SYN with timestamps has 20 bytes of options
	synMoreWithoutTSs = 12 // one without has 12
)

// estimatePayload subtracts the headers. Whether there are timestamps shows in the
// direction with the smaller packets, which are mostly bare acknowledgements where the
// payload goes the other way: their mean size is that of the header but for the SYN.
func estimatePayload(original, reply Traffic, ipv4 bool) (Traffic, Traffic) {
	header := uint64(ipv6Header + tcpHeader)
	if ipv4 {
		header = ipv4Header + tcpHeader
	}
	smallest := meanSize(original)
	if reply.Packets > 0 {
		smallest = min(smallest, meanSize(reply))
	}
	synExtra := uint64(synMoreWithoutTSs)
	if smallest >= header+timestampsLikely {
		header += timestamps
		synExtra = synMoreThanData
	}
	for _, traffic := range []*Traffic{&original, &reply} {
		if headers := traffic.Packets*header + synExtra; traffic.Bytes > headers {
			traffic.Payload = traffic.Bytes - headers
		}
	}
	return original, reply
}

func meanSize(t Traffic) uint64 { return t.Bytes / max(t.Packets, 1) }
