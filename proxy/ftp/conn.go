package ftp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// Conn is one leg of a control connection. Any cut of the stream into reads, down to single bytes, gives the same
// lines. Telnet commands are taken out, options are refused toward their sender.
//
// One goroutine reads; Write, SetIdle and NetConn may be called from others meanwhile. A Conn that waits for a line
// holds no buffer. If the net.Conn offers a file descriptor (syscall.Conn), reads go to it directly: a wrapper that does
// something in its Read must hide SyscallConn. The Conn does not close the net.Conn.
type Conn struct {
	lines    lines
	limits   Limits
	offences int
	failed   error  // a fatal error, given again by each further read
	reply    *block // memory of a multi-line reply
	midReply bool   // a multi-line reply has begun
	patience patience
	writing  writing
	born     time.Time
	writeBy  atomic.Int64 // the deadline of writes, in ns since born: clocks are set back, monotonic ones are not
}

// NewConn wraps c.
func NewConn(c net.Conn, limits Limits) *Conn {
	conn := &Conn{limits: limits.withDefaults(), born: time.Now()}
	conn.lines.init(c)
	conn.patience.conn = c
	conn.writing.attempt = conn.writing.writeNow
	return conn
}

// NetConn returns what NewConn was given.
func (c *Conn) NetConn() net.Conn { return c.lines.conn }

// Await returns when there is something to read, or nothing will come any more: the next read says which. It needs little
// stack, for the wait of thousands of connections. The deadline of SetIdle holds. A net.Conn without a file descriptor is
// not waited for.
func (c *Conn) Await() {
	if c.failed == nil && c.lines.raw != nil && c.lines.next >= c.lines.filled {
		_ = c.lines.raw.Read(c.lines.look) // the read will have the same error
	}
}

// ReadCommand reads the next line that is not empty as a command. It fails with
//   - a *SyntaxError for a line that is none; unless it is Fatal, the next call goes on behind that line,
//   - io.EOF at the end of the stream, io.ErrUnexpectedEOF if that is inside a line,
//   - an error that is os.ErrDeadlineExceeded; with a new SetIdle, reading can go on where it stopped, unless
//     the line itself took too long,
//   - the error of the connection.
func (c *Conn) ReadCommand() (Command, error) {
	for {
		line, err := c.readLine(c.limits.Line)
		if err != nil {
			return Command{}, c.commandError(line, err)
		}
		if len(line) > 0 && line[0] == telnetDM {
			line = line[1:] // the data mark of a SYNCH whose IAC was lost with the urgent byte
		}
		command, err := ParseCommand(line)
		if errors.Is(err, ErrEmptyLine) {
			continue
		}
		if err != nil {
			return Command{}, c.commandError(line, err)
		}
		command.Line = line
		return command, nil
	}
}

// commandError gives a failed line its answer.
func (c *Conn) commandError(line []byte, err error) error {
	var syntax *SyntaxError
	switch {
	case errors.As(err, &syntax):
	case errors.Is(err, errOverlong):
		syntax = notUnderstood(fmt.Sprintf("a line of more than %d bytes: %s", c.limits.Line, Redact("", line)))
		syntax.Say, syntax.unclean = "Line too long.", true
	case errors.Is(err, errTelnetFlood), errors.Is(err, errSubnegotiation):
		syntax = &SyntaxError{
			Code: 421, Say: "Too many Telnet commands, closing the control connection.", Why: err.Error(), Fatal: true,
		}
	case errors.Is(err, errClientHello):
		syntax = &SyntaxError{Why: err.Error(), Fatal: true}
	default:
		return err
	}
	if syntax.unclean {
		c.offences++
	}
	if c.offences >= MaxOffences && !syntax.Fatal {
		syntax.Code, syntax.Say, syntax.Fatal = 421, "Too many malformed lines, closing the control connection.", true
	}
	if syntax.Fatal {
		c.failed = syntax
	}
	return syntax
}

// ReadReply reads the next reply into r, which must be the same Reply again after a deadline inside a reply. It fails
// as ReadCommand does, with a *ReplyError, which is always fatal, in place of *SyntaxError.
func (c *Conn) ReadReply(r *Reply) error {
	if !r.open || !c.midReply {
		*r = Reply{}
		c.releaseReply()
	}
	for {
		line, err := c.readLine(c.limits.ReplyLine)
		if err != nil {
			return c.replyError(err)
		}
		begun := r.open
		done, err := r.add(line, c.limits)
		if err != nil {
			return c.replyError(err)
		}
		if done {
			c.midReply = false
			return nil
		}
		if r.open && !begun {
			c.holdReply(r)
		}
	}
}

// holdReply moves the first line of a multi-line reply to memory of its own, since reading on will overwrite it.
func (c *Conn) holdReply(r *Reply) {
	c.midReply = true
	c.reply = blocks.Get().(*block)
	r.raw = append(c.reply[:0], r.raw...)
}

// releaseReply gives the memory of the previous reply back. A reply that outgrew its block is left to the collector.
func (c *Conn) releaseReply() {
	c.midReply = false
	if c.reply != nil {
		blocks.Put(c.reply)
		c.reply = nil
	}
}

// replyError makes what no further line can heal a *ReplyError.
func (c *Conn) replyError(err error) error {
	var malformed *ReplyError
	switch {
	case errors.As(err, &malformed):
	case errors.Is(err, errOverlong):
		malformed = &ReplyError{Why: fmt.Sprintf("a line of more than %d bytes", c.limits.ReplyLine)}
	case errors.Is(err, errTelnetFlood), errors.Is(err, errSubnegotiation), errors.Is(err, errClientHello):
		malformed = &ReplyError{Why: err.Error()}
	default:
		return err
	}
	c.failed = malformed
	return malformed
}

// readLine returns the next line without its end; it is valid until the next call.
func (c *Conn) readLine(limit int) ([]byte, error) {
	if c.failed != nil {
		return nil, c.failed
	}
	c.lines.begin()
	for {
		done, err := c.lines.scan(limit, c.Write)
		if err != nil {
			return nil, err
		}
		if done {
			c.patience.lineEnded()
			return c.lines.line(limit)
		}
		held := c.lines.partial() || c.midReply
		if held {
			c.patience.lineBegan(c.midReply)
		}
		if err := c.lines.fill(); err != nil {
			return nil, c.readError(err, held)
		}
	}
}

// readError says what the end of the stream or of the patience means inside a line.
func (c *Conn) readError(err error, held bool) error {
	if !held {
		return err
	}
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && c.patience.overdue() {
		return fmt.Errorf("%w: %w", ErrLineTimeout, err)
	}
	return err
}

// Write sends p to the peer, within WriteTimeout, of which shortly after another Write up to a half may be over: a
// deadline for each line would cost a good part of the line. Concurrent writes do not mix.
func (c *Conn) Write(p []byte) (int, error) {
	if age := time.Since(c.born); age > time.Duration(c.writeBy.Load())-WriteTimeout/2 {
		// A connection that takes no deadline is closed: the write says so.
		_ = c.lines.conn.SetWriteDeadline(time.Now().Add(WriteTimeout))
		c.writeBy.Store(int64(age + WriteTimeout))
	}
	if c.lines.raw == nil {
		return c.lines.conn.Write(p)
	}
	return c.writing.write(&c.lines, p)
}

// Buffered returns the number of bytes read that belong to no command or reply returned; a Telnet command that has not
// ended counts as one. At an upgrade to TLS it must be 0 (CVE-2011-1575, CVE-2021-22947). Not to be called while another
// goroutine reads.
func (c *Conn) Buffered() int { return c.lines.buffered() }

// Release ends the validity of what was read and gives its memory back at once, rather than at the next read. It is for who
// will not read for long. Not to be called while another goroutine reads.
func (c *Conn) Release() {
	if !c.midReply {
		c.releaseReply()
	}
	if c.lines.buffered() == 0 {
		c.lines.reset()
	}
}

// Another reports whether a further reply of one line has come whole, so that the next ReadReply will not wait. Not to be
// called while another goroutine reads.
func (c *Conn) Another() bool {
	if c.failed != nil || c.midReply || c.lines.open || c.lines.telnet.state != telnetData {
		return false
	}
	line, _, whole := bytes.Cut(c.lines.unread(), []byte{'\n'})
	return whole && len(line) > 3 && hasCode(line) && line[3] == ' ' && bytes.IndexByte(line, telnetIAC) < 0
}

// SetIdle sets the read deadline that holds while no line has begun; zero is none. Once a line has begun, LineTimeout
// (ReplyTimeout inside a multi-line reply) takes its place until the line ends. A deadline that is past when it is set
// cancels a read at once, inside a line too, and so does every read until the next SetIdle.
func (c *Conn) SetIdle(deadline time.Time) { c.patience.setIdle(deadline) }
