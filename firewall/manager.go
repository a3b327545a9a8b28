package firewall

import (
	"cmp"
	"container/list"
	"context"
	"fmt"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Defaults of Options.
const (
	// DefaultLifetime is shorter than the 300 s of the kernel's helper and long enough for a person who confirms a dialog.
	DefaultLifetime = 60 * time.Second
	// DefaultVerifyEvery keeps the time during which a reload of the host's firewall hurts to about one TCP retransmission.
	DefaultVerifyEvery = 2 * time.Second
	// DefaultMaxHoles bounds the rules that every new connection of the router has to pass.
	DefaultMaxHoles = 4096
)

// Options of a Manager; zero values mean the defaults above.
type Options struct {
	Lifetime    time.Duration // of a hole, from the moment it is given to the kernel
	VerifyEvery time.Duration // time between two looks at the host's rules
	MaxHoles    int           // holes open or waiting at the same time
	Log         *zap.Logger   // nil: silent
}

type phase uint8

const (
	idle phase = iota
	running
	stopping
)

// Manager owns the set of holes. Its methods may be called by any goroutine, in any order.
type Manager struct {
	backend Backend
	opts    Options
	log     *zap.Logger
	worker  *worker       // set by Start
	wake    chan struct{} // holds one token when there may be something for the worker to do
	busy    chan struct{} // holds one token while somebody calls the backend
	gone    chan struct{} // closed when the worker has ended and stopErr is set
	stopErr error

	mu       sync.Mutex
	phase    phase
	lifetime time.Duration
	lastID   uint64
	asleep   time.Time // until when the worker sleeps
	waiting  []*request
	inflight int // requests that the backend works on
	reframes []*reframe
	open     map[uint64]*Lease
	order    *list.List // the leases in open, soonest end first
	ways     map[way]*lead
	urgent   []ending
	spent    []ending
	leaving  map[way]int // of the endings in both lists
	stats    Stats
}

// request is one call of Open on its way to the backend.
type request struct {
	ctx     context.Context
	hole    Pinhole
	since   time.Time
	opening Hole   // the hole with its number and end, while the backend works on it
	lease   *Lease // set before ready is closed; nil if err is set
	err     error
	ready   chan struct{}
	left    bool // the caller has gone: what is opened now must be shut
}

type reframe struct {
	frame Frame
	err   error
	ready chan struct{}
}

// ending is a hole that is over, and since when.
type ending struct {
	hole  Hole
	since time.Time
}

// way is what a rule of translation recognises a connection by; two holes that agree in it must lead the same way.
type way struct {
	source      netip.Addr
	destination netip.AddrPort
	onward      bool // destination is the translated one: the key of source translation
}

type lead struct {
	to   netip.AddrPort
	as   netip.Addr
	mark uint32
	uses int
}

// NewManager returns a Manager that does nothing until Start.
func NewManager(b Backend, opts Options) *Manager {
	opts.Lifetime = cmp.Or(opts.Lifetime, DefaultLifetime)
	opts.VerifyEvery = cmp.Or(opts.VerifyEvery, DefaultVerifyEvery)
	opts.MaxHoles = cmp.Or(opts.MaxHoles, DefaultMaxHoles)
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	return &Manager{
		backend:  b,
		opts:     opts,
		log:      opts.Log,
		wake:     make(chan struct{}, 1),
		busy:     make(chan struct{}, 1),
		gone:     make(chan struct{}),
		lifetime: opts.Lifetime,
		open:     make(map[uint64]*Lease),
		order:    list.New(),
		ways:     make(map[way]*lead),
		leaving:  make(map[way]int),
		stats:    Stats{Backend: b.Name()},
	}
}

// Start installs the frame and returns when it is in place. After an error, as after Stop, the Manager cannot be
// started again and nothing of it is left in the kernel.
func (m *Manager) Start(f Frame) error {
	if err := f.Validate(); err != nil {
		return err
	}
	m.mu.Lock()
	switch m.phase {
	case running:
		m.mu.Unlock()
		return fmt.Errorf("starting the firewall: it runs already")
	case stopping:
		m.mu.Unlock()
		return ErrStopped
	}
	m.phase = running
	m.worker = &worker{Manager: m, frame: f}
	m.busy <- struct{}{} // nobody opens before the frame is in place
	m.mu.Unlock()

	installed := make(chan error, 1)
	go m.worker.work(installed)
	return <-installed
}

// Reframe replaces the static part; open holes stay open. After an error the former frame is in place again, if that
// can be done at all.
func (m *Manager) Reframe(f Frame) error {
	if err := f.Validate(); err != nil {
		return err
	}
	r := &reframe{frame: f, ready: make(chan struct{})}
	m.mu.Lock()
	if err := m.refusal(); err != nil {
		m.mu.Unlock()
		return err
	}
	m.reframes = append(m.reframes, r)
	m.mu.Unlock()
	m.poke()
	<-r.ready
	return r.err
}

// SetLifetime changes the life of the holes that are opened from now on; 0 means the default.
func (m *Manager) SetLifetime(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lifetime = cmp.Or(d, DefaultLifetime)
}

// Open returns when the hole is in the kernel, or with an error and no trace of it: ErrPinhole, ErrTooMany, ErrConflict,
// ErrNotStarted, ErrStopped, the cause of ctx, or what the backend said.
func (m *Manager) Open(ctx context.Context, p Pinhole) (*Lease, error) {
	r, err := m.enqueue(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("opening a pinhole for %s: %w", p, err)
	}
	m.serve()
	if ctx.Err() == nil {
		select {
		case <-r.ready:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil { // also if it is open by now: nobody would use it
		m.leave(r)
		return nil, fmt.Errorf("opening a pinhole for %s: %w", p, context.Cause(ctx))
	}
	if r.err != nil {
		return nil, fmt.Errorf("opening a pinhole for %s: %w", p, r.err)
	}
	return r.lease, nil
}

// serve opens what waits, in the caller's goroutine if the backend is free: a goroutine more on the way would cost more
// than nftables takes to open. If it is not free, what waits gathers for one transaction of the worker.
func (m *Manager) serve() {
	select {
	case m.busy <- struct{}{}:
	default:
		m.poke()
		return
	}
	served := m.openHere()
	<-m.busy
	if !served {
		m.poke()
	}
}

// openHere does it. A fault of the backend ends the whole program, as it does in the worker, even if the caller would
// survive it: nobody could say any more what is open, and the next start cleans up.
func (m *Manager) openHere() bool {
	defer func() {
		if fault := recover(); fault != nil {
			go panic(fmt.Sprintf("opening a pinhole: %v\n%s", fault, debug.Stack()))
			select {}
		}
	}()
	return m.worker.openNow(time.Now())
}

func (m *Manager) enqueue(ctx context.Context, p Pinhole) (*request, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.admit(ctx, p)
	if err != nil {
		m.stats.Failed++
		return nil, err
	}
	m.enter(p)
	r := &request{ctx: ctx, hole: p, since: time.Now(), ready: make(chan struct{})}
	m.waiting = append(m.waiting, r)
	return r, nil
}

func (m *Manager) admit(ctx context.Context, p Pinhole) error {
	if err := p.Validate(); err != nil {
		return err
	}
	if err := m.refusal(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if n := len(m.open) + len(m.waiting) + m.inflight; n >= m.opts.MaxHoles {
		return fmt.Errorf("%w: %d, the limit", ErrTooMany, n)
	}
	if m.conflicts(p) {
		return ErrConflict
	}
	return nil
}

// leave is for a caller of Open whose context has ended: nothing of r may stay open.
func (m *Manager) leave(r *request) {
	m.mu.Lock()
	r.left = true
	lease := r.lease
	m.mu.Unlock()
	if lease != nil {
		lease.Release()
	}
}

func (m *Manager) refusal() error {
	switch m.phase {
	case idle:
		return ErrNotStarted
	case stopping:
		return ErrStopped
	}
	return nil
}

// Stop removes everything of ours from the kernel and ends all leases. It may be called in any state, more than once;
// each call returns when the work is done, with the same result.
func (m *Manager) Stop() error {
	m.mu.Lock()
	switch m.phase {
	case idle: // there is no worker that could end
		close(m.gone)
	case running:
		m.poke()
	}
	m.phase = stopping
	m.mu.Unlock()
	<-m.gone
	return m.stopErr
}

// poke wakes the worker; a token that is there already will do.
func (m *Manager) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}
