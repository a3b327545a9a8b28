package proxy

import (
	"errors"
	"net/netip"
	"sync"
	"time"
)

// fakeFlows are data connections that the test lets come and go.
type fakeFlows struct {
	mu  sync.Mutex
	all []*fakeFlow
}

type fakeFlow struct {
	source       netip.Addr
	destination  netip.AddrPort
	began, ended chan struct{}

	mu        sync.Mutex
	onBegan   func()
	since     time.Time // when its packet came, if nobody answers; zero: somebody did
	bytes     uint64
	over      bool
	watched   bool // its end is looked for
	killed    bool
	forgotten bool
}

func (f *fakeFlows) expect(source netip.Addr, destination netip.AddrPort) Flow {
	f.mu.Lock()
	defer f.mu.Unlock()
	flow := &fakeFlow{source: source, destination: destination, began: make(chan struct{}), ended: make(chan struct{})}
	f.all = append(f.all, flow)
	return flow
}

// last is the newest data connection that was expected.
func (f *fakeFlows) last() (*fakeFlow, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.all) == 0 {
		return nil, errors.New("no data connection was expected yet")
	}
	return f.all[len(f.all)-1], nil
}

// watched counts the data connections that nobody has forgotten yet.
func (f *fakeFlows) watched() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, flow := range f.all {
		flow.mu.Lock()
		if !flow.forgotten {
			n++
		}
		flow.mu.Unlock()
	}
	return n
}

func (f *fakeFlow) Began() <-chan struct{} { return f.began }

func (f *fakeFlow) OnBegan(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onBegan = do
	if isClosed(f.began) {
		do()
	}
}

// begin is the first packet, as conntrack tells of it.
func (f *fakeFlow) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if isClosed(f.began) {
		return
	}
	close(f.began)
	f.onBegan()
}

func (f *fakeFlow) Ended() <-chan struct{} { return f.ended }

// silent has nobody answer, from now on.
func (f *fakeFlow) silent() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.since = time.Now()
}

func (f *fakeFlow) Unanswered() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.since
}

// Closing and Payload are what an end is noticed by, as in the kernel.
func (f *fakeFlow) Closing() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watched = true
	f.notice()
}

func (f *fakeFlow) Payload() (uint64, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notice()
	return f.bytes, true
}

func (f *fakeFlow) notice() {
	if f.over {
		closeOnce(f.ended)
	}
}

// end is both sides' close.
func (f *fakeFlow) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	if f.watched {
		f.notice()
	}
}

func (f *fakeFlow) Forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forgotten = true
}

func (f *fakeFlow) Kill() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.killed = true
	closeOnce(f.ended)
	return nil
}

func (f *fakeFlow) carry(bytes uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bytes = bytes
}

func (f *fakeFlow) wasKilled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.killed
}
