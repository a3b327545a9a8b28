package proxy

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// memPipe is one direction of a connection in memory. Unlike net.Pipe it
// buffers, as sockets do, and unlike a socket it lets synctest's clock run.
type memPipe struct {
	mu       sync.Mutex
	cond     sync.Cond
	buf      []byte
	eof      bool // the writer has closed
	broken   bool // the reader has closed
	reset    bool // the writer has reset the connection
	deadline time.Time
	alarm    *time.Timer
}

func newMemPipe() *memPipe {
	p := &memPipe{}
	p.cond.L = &p.mu
	return p
}

func (p *memPipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.broken:
			return 0, net.ErrClosed
		case p.reset:
			return 0, syscall.ECONNRESET
		case !p.deadline.IsZero() && !time.Now().Before(p.deadline):
			return 0, os.ErrDeadlineExceeded
		case len(p.buf) > 0:
			n := copy(b, p.buf)
			p.buf = p.buf[n:]
			return n, nil
		case p.eof:
			return 0, io.EOF
		}
		p.cond.Wait()
	}
}

func (p *memPipe) write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.eof {
		return 0, net.ErrClosed
	}
	if p.broken {
		return 0, syscall.EPIPE
	}
	p.buf = append(p.buf, b...)
	p.cond.Broadcast()
	return len(b), nil
}

func (p *memPipe) set(flag *bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*flag = true
	if p.alarm != nil {
		p.alarm.Stop()
	}
	p.cond.Broadcast()
}

func (p *memPipe) setDeadline(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	if p.alarm != nil {
		p.alarm.Stop()
		p.alarm = nil
	}
	if !t.IsZero() {
		p.alarm = time.AfterFunc(time.Until(t), p.cond.Broadcast)
	}
	p.cond.Broadcast()
}

// memConn is one end of a TCP connection in memory.
type memConn struct {
	in, out       *memPipe
	local, remote net.Addr
}

// memConnect returns both ends of a connection between two addresses.
func memConnect(a, b net.Addr) (atA, atB *memConn) {
	ab, ba := newMemPipe(), newMemPipe()
	return &memConn{in: ba, out: ab, local: a, remote: b}, &memConn{in: ab, out: ba, local: b, remote: a}
}

func (c *memConn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *memConn) Write(b []byte) (int, error) { return c.out.write(b) }
func (c *memConn) CloseWrite() error           { c.out.set(&c.out.eof); return nil }
func (c *memConn) Close() error {
	c.out.set(&c.out.eof)
	c.in.set(&c.in.broken)
	return nil
}

// Reset closes both directions at once; the peer's reads fail.
func (c *memConn) Reset() {
	c.out.set(&c.out.reset)
	c.Close()
}

func (c *memConn) LocalAddr() net.Addr                { return c.local }
func (c *memConn) RemoteAddr() net.Addr               { return c.remote }
func (c *memConn) SetDeadline(t time.Time) error      { c.in.setDeadline(t); return nil }
func (c *memConn) SetReadDeadline(t time.Time) error  { c.in.setDeadline(t); return nil }
func (c *memConn) SetWriteDeadline(t time.Time) error { return nil }
