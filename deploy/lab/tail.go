package lab

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// maxTail bounds what is remembered of a process's output, in bytes.
const maxTail = 1 << 20

// tail remembers the end of what was written to it, and tells those who wait for a text.
type tail struct {
	mu      sync.Mutex
	text    []byte
	written chan struct{} // closed and replaced at each write
}

func newTail() *tail { return &tail{written: make(chan struct{})} }

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	// Cutting at twice the bound keeps the cost of the copying constant per byte.
	if len(t.text) > 2*maxTail {
		t.text = append(t.text[:0], t.text[len(t.text)-maxTail:]...)
	}
	close(t.written)
	t.written = make(chan struct{})
	return len(p), nil
}

func (t *tail) String() string {
	text, _ := t.snapshot()
	return text
}

// snapshot returns the text and a channel that is closed when there is more.
func (t *tail) snapshot() (string, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text[max(0, len(t.text)-maxTail):]), t.written
}

// await waits until the text holds want.
func (t *tail) await(ctx context.Context, ended <-chan struct{}, want, who string) error {
	for {
		text, more := t.snapshot()
		if strings.Contains(text, want) {
			return nil
		}
		select {
		case <-more:
			continue
		default:
		}
		select {
		case <-more:
		case <-ended:
			if strings.Contains(t.String(), want) {
				return nil
			}
			return fmt.Errorf("%s ended without printing %q:\n%s", who, want, text)
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s to print %q: %w; it printed:\n%s", who, want, ctx.Err(), text)
		}
	}
}
