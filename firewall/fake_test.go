package firewall

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var errRefused = errors.New("the kernel refuses")

// fake is a Backend in memory. Each transaction takes cost, so that others gather meanwhile.
type fake struct {
	cost time.Duration

	mu      sync.Mutex
	calls   []string
	holes   map[uint64]Hole
	frame   *Frame
	bad     func(Hole) bool  // a transaction with such a hole fails
	fail    map[string]error // by call
	damaged bool             // the next Verify finds something; until then Apply fails
	changed int              // so many looks are needed before Apply opens
	moved   []string         // what the next Verify says that the host has changed
}

func newFake(cost time.Duration) *fake {
	return &fake{cost: cost, holes: map[uint64]Hole{}, fail: map[string]error{}}
}

func (f *fake) Name() string { return "fake" }

func (f *fake) Install(frame Frame) error {
	time.Sleep(f.cost)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "install")
	if err := f.fail["install"]; err != nil {
		delete(f.fail, "install")
		return err
	}
	f.frame = &frame
	return nil
}

func (f *fake) Apply(open, shut []Hole) error {
	time.Sleep(f.cost)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf("open %d shut %d", len(open), len(shut)))
	if err := f.fail["apply"]; err != nil {
		return err
	}
	if len(open) > 0 && f.changed > 0 {
		return ErrChanged
	}
	if f.damaged || f.bad != nil && slices.ContainsFunc(open, f.bad) {
		return errRefused
	}
	for _, h := range shut {
		delete(f.holes, h.ID)
	}
	for _, h := range open {
		f.holes[h.ID] = h
	}
	return nil
}

func (f *fake) Verify(holes []Hole) (Found, error) {
	time.Sleep(f.cost)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "verify")
	if err := f.fail["verify"]; err != nil {
		return Found{}, err
	}
	f.changed--
	want := map[uint64]Hole{}
	for _, h := range holes {
		want[h.ID] = h
	}
	found := Found{Followed: f.moved}
	f.moved = nil
	if !maps.Equal(want, f.holes) {
		found.Repaired = append(found.Repaired, "holes")
		f.holes = want
	}
	if f.damaged {
		found.Repaired = append(found.Repaired, "damage")
		f.damaged = false
	}
	return found, nil
}

func (f *fake) Remove() error {
	time.Sleep(f.cost)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "remove")
	f.frame = nil
	clear(f.holes)
	return f.fail["remove"]
}

// count is the number of calls that begin with the words.
func (f *fake) count(words string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if strings.HasPrefix(c, words) {
			n++
		}
	}
	return n
}

// transactions are the calls of Apply since the last look.
func (f *fake) transactions() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, c := range f.calls {
		if strings.HasPrefix(c, "open") {
			out = append(out, c)
		}
	}
	f.calls = nil
	return out
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) inPlace() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.holes)
}

var testFrame = Frame{Mark: 1 << 24, PinholeMark: 2 << 24, Mask: 0xff000000, ListenPort: 2121, IPv4: true}

// pinhole is the n-th of as many different ones as a test wants.
func pinhole(n int) Pinhole {
	return Pinhole{
		Interface:   "wan0",
		Source:      netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + n/60000)}),
		Destination: netip.AddrPortFrom(netip.MustParseAddr("198.51.100.1"), uint16(1024+n%60000)),
		Target:      netip.AddrPortFrom(netip.MustParseAddr("10.0.0.5"), uint16(1024+n%60000)),
	}
}

func started(t *testing.T, b Backend, o Options) *Manager {
	t.Helper()
	m := NewManager(b, o)
	if err := m.Start(testFrame); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func mustOpen(t *testing.T, m *Manager, n int) *Lease {
	t.Helper()
	l, err := m.Open(t.Context(), pinhole(n))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func over(l *Lease) bool {
	select {
	case <-l.Done():
		return true
	default:
		return false
	}
}
