// Package audit writes down every transfer: a JSON object each, and lines in
// wu-ftpd's xferlog format. What cannot be written is lost, counted and said; no
// session ever waits for a disk.
package audit

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/ftpgate/ftpgate/proxy"
)

const (
	// queued is how many transfers may wait for the disk: a second's stall of a
	// busy gateway. One is half a KiB, with a path as long as a line 6 KiB.
	queued = 4096
	// keptReply bounds what is kept of a reply, in bytes; its first line is in it.
	keptReply = 1024
	// lookEvery is the time between two looks at what has failed.
	lookEvery = time.Second
	// openAgain is the time between two tries to open a file that failed.
	openAgain = 5 * time.Second
	// calm is how long nothing must have been lost until the loss is said to be
	// over: on a full disk a short line sometimes still fits.
	calm = 5 * time.Second
	// lastWords is how long Close waits for the disk.
	lastWords = 3 * time.Second
)

// Files are where the records go, absolute names; "": none.
type Files struct {
	Transfers string // key audit.transfers
	Xferlog   string // key audit.xferlog
}

// want tells whether a transfer gets a record in any of them.
func (f Files) want(t *proxy.Transfer) bool {
	return f.Transfers != "" || f.Xferlog != "" && inXferlog(t)
}

// Stats are the numbers of a Log. Counters start at 0 with it; a transfer is
// counted once, however many files it is for.
type Stats struct {
	Written uint64 // transfers that every file has which wants them
	Lost    uint64 // transfers that one of them lacks
	Error   string // what fails at present; "": nothing
}

// Log writes the records. One goroutine does, from Open until Close.
type Log struct {
	log     *zap.Logger
	wanted  atomic.Pointer[Files]
	queue   chan proxy.Transfer
	reopen  chan Files
	stop    chan struct{}
	stopped chan struct{}
	sinks   [2]*sink // of the goroutine

	written, lost atomic.Uint64
	overflow      atomic.Uint64 // lost since the queue is full
	overflowing   atomic.Bool
	trouble       atomic.Pointer[string] // what fails at the files
}

// Open opens the files. Its error names the key. The caller closes the Log.
func Open(log *zap.Logger, files Files) (*Log, error) {
	l := &Log{
		log: log, queue: make(chan proxy.Transfer, queued), reopen: make(chan Files, 1),
		stop: make(chan struct{}), stopped: make(chan struct{}),
		sinks: [2]*sink{
			{key: "audit.transfers", render: transferLine, log: log},
			{key: "audit.xferlog", render: xferlogLine, log: log},
		},
	}
	l.wanted.Store(&files)
	var failed []error
	for i, name := range files.names() {
		if err := l.sinks[i].open(name); err != nil {
			failed = append(failed, fmt.Errorf("%w; its directory must exist and be writable, or write \"\" for no such file", err))
		}
	}
	if len(failed) > 0 {
		l.closeFiles()
		return nil, errors.Join(failed...)
	}
	l.tellTrouble()
	go l.write()
	return l, nil
}

// names are in the order of Log.sinks.
func (f Files) names() [2]string { return [2]string{f.Transfers, f.Xferlog} }

// Record takes the account of a transfer. It never blocks: an account for which
// there is no room is lost.
func (l *Log) Record(t proxy.Transfer) {
	if !l.wanted.Load().want(&t) {
		return
	}
	t.Reply = shortened(t.Reply)
	select {
	case l.queue <- t:
	default:
		l.lost.Add(1)
		l.overflow.Add(1)
		if l.overflowing.CompareAndSwap(false, true) {
			l.log.Error("audit records are being lost, sessions go on", zap.String("why", queueFull))
		}
	}
}

// shortened cuts a reply, between characters if it has some.
func shortened(reply string) string {
	if len(reply) <= keptReply {
		return reply
	}
	end := keptReply
	for end > keptReply-utf8.UTFMax && !utf8.RuneStart(reply[end]) {
		end--
	}
	return strings.Clone(reply[:end])
}

var queueFull = fmt.Sprintf("%d records wait already: the disk does not keep up", queued)

// Reopen opens the files again, soon: by other names, or by the same ones after
// somebody has renamed what was written so far. Until a new file can be opened
// the old one is written to, and the failure is logged and in Stats.
func (l *Log) Reopen(files Files) {
	l.wanted.Store(&files)
	for {
		select {
		case l.reopen <- files:
			return
		default:
		}
		select {
		case <-l.reopen: // an older wish
		default:
		}
	}
}

// Stats returns the present numbers.
func (l *Log) Stats() Stats {
	s := Stats{Written: l.written.Load(), Lost: l.lost.Load(), Error: *l.trouble.Load()}
	if l.overflowing.Load() {
		s.Error = strings.TrimPrefix(s.Error+"; "+queueFull, "; ")
	}
	return s
}

// Close writes what waits and closes the files. Nothing may be recorded any more.
// It waits for a disk that hangs for a bounded time, and then says what is lost.
func (l *Log) Close() error {
	close(l.stop)
	select {
	case <-l.stopped:
		return nil
	case <-time.After(lastWords):
		return fmt.Errorf("the disk did not take %d audit records within %s", len(l.queue)+1, lastWords)
	}
}

// write is the goroutine.
func (l *Log) write() {
	defer close(l.stopped)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case t := <-l.queue:
			l.put(&t)
		case files := <-l.reopen:
			for i, name := range files.names() {
				l.sinks[i].reopen(name)
			}
		case <-look.C:
			l.look()
		case <-l.stop:
			for len(l.queue) > 0 {
				t := <-l.queue
				l.put(&t)
			}
			l.sayOverflow()
			l.closeFiles()
			return
		}
		l.tellTrouble()
	}
}

// put writes one transfer to each file that wants it.
func (l *Log) put(t *proxy.Transfer) {
	wanted, good := false, true
	for _, s := range l.sinks {
		if line := s.line(t); line != nil {
			wanted = true
			good = s.write(line) && good
		}
	}
	switch {
	case !wanted: // the file for it has just been closed
	case good:
		l.written.Add(1)
	default:
		l.lost.Add(1)
	}
}

// look tries again what has failed, and says what is over.
func (l *Log) look() {
	for _, s := range l.sinks {
		s.look()
	}
	if len(l.queue) == 0 {
		l.sayOverflow()
	}
}

func (l *Log) sayOverflow() {
	if l.overflowing.CompareAndSwap(true, false) {
		l.log.Warn("audit records find room again", zap.Uint64("lost", l.overflow.Swap(0)))
	}
}

func (l *Log) closeFiles() {
	for _, s := range l.sinks {
		s.close()
	}
}

// tellTrouble keeps for Stats what fails now.
func (l *Log) tellTrouble() {
	var all []string
	for _, s := range l.sinks {
		if err := s.trouble(); err != nil {
			all = append(all, err.Error())
		}
	}
	text := strings.Join(all, "; ")
	if last := l.trouble.Load(); last == nil || *last != text {
		l.trouble.Store(&text)
	}
}
