package lab

import (
	"bytes"
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
	dropped int           // bytes that were written before text
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
		drop := len(t.text) - maxTail
		t.text = append(t.text[:0], t.text[drop:]...)
		t.dropped += drop
	}
	close(t.written)
	t.written = make(chan struct{})
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text[max(0, len(t.text)-maxTail):])
}

// search looks for want in what was written behind position from. It returns the position from which the next search
// has to look, and a channel that is closed when there is more.
func (t *tail) search(want string, from int) (found bool, next int, more <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found = bytes.Contains(t.text[max(0, from-t.dropped):], []byte(want))
	end := t.dropped + len(t.text)
	return found, max(0, end-len(want)+1), t.written
}

// await waits until the text holds want. Each byte is looked at once, however chatty the process is.
func (t *tail) await(ctx context.Context, ended <-chan struct{}, want, who string) error {
	for from := 0; ; {
		found, next, more := t.search(want, from)
		if found {
			return nil
		}
		from = next
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
			return fmt.Errorf("%s ended without printing %q:\n%s", who, want, t)
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s to print %q: %w; it printed:\n%s", who, want, ctx.Err(), t)
		}
	}
}
