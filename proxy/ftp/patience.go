package ftp

import (
	"net"
	"sync"
	"time"
)

// patience keeps the read deadline of a Conn: the caller's between lines, our own inside a line, so that a peer cannot
// hold a half line, and the memory for it, by sending a byte now and then.
type patience struct {
	conn net.Conn

	mu        sync.Mutex
	idle      time.Time // as given by SetIdle
	cancelled bool      // idle was past when it was given: it holds inside a line too
	due       time.Time // when the line must have ended; zero: none has begun
}

func (p *patience) setIdle(deadline time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = deadline
	p.cancelled = !deadline.IsZero() && !deadline.After(time.Now())
	p.apply()
}

// lineBegan starts the clock of the line, unless it runs. Lines that arrive in one piece never get here.
func (p *patience) lineBegan(midReply bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.due.IsZero() {
		return
	}
	timeout := LineTimeout
	if midReply {
		timeout = ReplyTimeout
	}
	p.due = time.Now().Add(timeout)
	p.apply()
}

// lineEnded stops the clock of the line.
func (p *patience) lineEnded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.due.IsZero() {
		p.due = time.Time{}
		p.apply()
	}
}

// overdue says whether the clock of the line has run out.
func (p *patience) overdue() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.due.IsZero() && !p.due.After(time.Now())
}

// apply needs the lock.
func (p *patience) apply() {
	deadline := p.idle
	if !p.due.IsZero() && !p.cancelled {
		deadline = p.due
	}
	// A connection that takes no deadline is closed: the read says so.
	_ = p.conn.SetReadDeadline(deadline)
}
