package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	// logTime bounds the wait for a line that the daemon must have written already.
	logTime = 5 * time.Second
	// maxEntries bounds what is remembered of the log; the file has all.
	maxEntries = 1000
)

// entry is one line of the daemon's log, as far as the demo reads it.
type entry struct {
	Message string `json:"message"`
	Session uint64 `json:"session"`
	Client  string `json:"client"`  // session started
	SeenAs  string `json:"seen_as"` // session started: the client as its server sees it
	Backend string `json:"backend"` // firewall backend chosen

	// Data address announced.
	Verb    string `json:"verb"`
	Said    string `json:"said"`
	Sent    string `json:"sent"`
	Pinhole string `json:"pinhole"`

	// Session ended.
	Transfers int    `json:"transfers"`
	Failed    int    `json:"failed"`
	Bytes     uint64 `json:"bytes"`
}

// logbook receives the daemon's log, keeps it in a file, and finds lines in it.
type logbook struct {
	file *os.File

	mu      sync.Mutex
	partial []byte // a line that has not ended
	entries []entry
	written chan struct{} // closed and replaced at each write
}

func newLogbook(path string) (*logbook, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("creating the daemon's log: %w", err)
	}
	return &logbook{file: file, written: make(chan struct{})}, nil
}

func (b *logbook) close() error { return b.file.Close() }

// Write takes what the daemon prints, in any pieces.
func (b *logbook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.partial = append(b.partial, p...)
	for {
		line, rest, ended := bytes.Cut(b.partial, []byte("\n"))
		if !ended {
			break
		}
		var e entry
		// What is no JSON, such as a panic, is for the file's reader.
		if json.Unmarshal(line, &e) == nil {
			b.entries = append(b.entries, e)
		}
		b.partial = rest
	}
	b.entries = b.entries[max(0, len(b.entries)-maxEntries):]
	close(b.written)
	b.written = make(chan struct{})
	return b.file.Write(p)
}

// await returns the newest line for which want holds, or waits for one.
func (b *logbook) await(ctx context.Context, what string, want func(entry) bool) (entry, error) {
	ctx, cancel := context.WithTimeout(ctx, logTime)
	defer cancel()
	for {
		found, ok, more := b.find(want)
		if ok {
			return found, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return entry{}, fmt.Errorf("waiting for the daemon to log %s: %w", what, ctx.Err())
		}
	}
}

func (b *logbook) find(want func(entry) bool) (found entry, ok bool, more <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.entries) - 1; i >= 0; i-- {
		if want(b.entries[i]) {
			return b.entries[i], true, b.written
		}
	}
	return entry{}, false, b.written
}

// started waits for the session of a client, by the address of its control connection.
func (b *logbook) started(ctx context.Context, client string) (entry, error) {
	return b.await(ctx, "the start of the session", func(e entry) bool {
		return e.Message == "session started" && e.Client == client
	})
}

// announced waits for what became of a session's PORT, EPRT, PASV or EPSV.
func (b *logbook) announced(ctx context.Context, session uint64, verb string) (entry, error) {
	return b.await(ctx, "the announced address", func(e entry) bool {
		return e.Message == "data address announced" && e.Session == session && e.Verb == verb
	})
}

// ended waits for the end of a session.
func (b *logbook) ended(ctx context.Context, session uint64) (entry, error) {
	return b.await(ctx, "the end of the session", func(e entry) bool {
		return e.Message == "session ended" && e.Session == session
	})
}
