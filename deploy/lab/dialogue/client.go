// Package dialogue is an FTP client that does what it is told and nothing else: each line, each segment and each data
// connection is the caller's. Tests of exact dialogues and the demo speak through it; it records what was said.
//
// It is written against RFC 959, 2428 and 4217 alone, without the project's own codecs, so that it is a witness and
// not an echo.
package dialogue

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Timeout is how long the client waits for a reply, a data connection or the next data, unless Options say otherwise.
const Timeout = 10 * time.Second

// bytePause separates the segments of a client that sends byte by byte: long enough that who reads at once reads one
// byte, short enough for a dialogue of hundreds.
const bytePause = 300 * time.Microsecond

// Network is where a client's sockets are made: a lab's host, or Here.
type Network interface {
	DialFrom(ctx context.Context, from, to netip.AddrPort) (*net.TCPConn, error)
	Listen(ctx context.Context, at netip.AddrPort) (*net.TCPListener, error)
}

// Options say how a client speaks. The zero value speaks as usual.
type Options struct {
	Source     netip.AddrPort // own address of the control connection; zero: the kernel chooses
	ByteWise   bool           // each byte of a command in a segment of its own
	Timeout    time.Duration  // bound of each wait; zero: Timeout
	Log        func(string)   // gets each line of the dialogue as it is said; nil: nobody
	NoGreeting bool           // do not wait for the server's greeting: the caller reads it
}

// Client is one control connection. Its methods are for one goroutine, except Close and Transcript.
type Client struct {
	// Greeting is the server's first reply.
	Greeting Reply

	network Network
	options Options
	tcp     *net.TCPConn
	conn    net.Conn // tcp, or TLS over it
	reader  *bufio.Reader
	secure  *tls.Config // protects data connections after PROT P; nil: they are clear

	mu         sync.Mutex
	transcript []string
}

// Dial connects to a server and reads its greeting. The caller closes the client. A greeting that refuses (421) is no
// error: it is in Greeting.
func Dial(ctx context.Context, network Network, server netip.AddrPort, options Options) (*Client, error) {
	if options.Timeout == 0 {
		options.Timeout = Timeout
	}
	ctx, cancel := context.WithTimeout(ctx, options.Timeout)
	defer cancel()
	tcp, err := network.DialFrom(ctx, options.Source, server)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", server, err)
	}
	c := &Client{network: network, options: options, tcp: tcp, conn: tcp, reader: bufio.NewReader(tcp)}
	if options.NoGreeting {
		return c, nil
	}
	if c.Greeting, err = c.Read(); err != nil {
		c.Close()
		return nil, fmt.Errorf("greeting of %s: %w", server, err)
	}
	return c, nil
}

// Close closes the control connection without a word. Data connections are not touched.
func (c *Client) Close() error { return c.conn.Close() }

// Conn is the control connection itself, for experiments below the protocol.
func (c *Client) Conn() *net.TCPConn { return c.tcp }

// Local and Server are the two ends of the control connection, as this side sees them.
func (c *Client) Local() netip.AddrPort { return addrPort(c.tcp.LocalAddr()) }

// Server is documented at Local.
func (c *Client) Server() netip.AddrPort { return addrPort(c.tcp.RemoteAddr()) }

// Cmd sends a command, to which it adds CRLF, and reads one reply. A reply of refusal is no error.
func (c *Client) Cmd(line string) (Reply, error) {
	if err := c.Send(line); err != nil {
		return Reply{}, err
	}
	return c.Read()
}

// Want is Cmd for a reply that must bear that code, or begin with it: 2 stands for all of 200 to 299.
func (c *Client) Want(code int, line string) (Reply, error) {
	reply, err := c.Cmd(line)
	if err == nil {
		err = reply.want(code, line)
	}
	return reply, err
}

// Login gives a name and a password.
func (c *Client) Login(user, password string) error {
	reply, err := c.Cmd("USER " + user)
	if err == nil && reply.Code == 331 {
		reply, err = c.Cmd("PASS " + password)
	}
	if err != nil {
		return err
	}
	return reply.want(230, "the login of "+user)
}

// Send sends commands without reading a reply: all in one segment, unless the client speaks byte by byte.
func (c *Client) Send(lines ...string) error {
	var all strings.Builder
	for _, line := range lines {
		c.record("> " + concealed(line))
		all.WriteString(line + "\r\n")
	}
	return c.write([]byte(all.String()))
}

// WriteRaw sends bytes as they are.
func (c *Client) WriteRaw(raw []byte) error {
	c.record(fmt.Sprintf("> raw %q", raw))
	return c.write(raw)
}

// WriteUrgent sends bytes of which the last one is urgent data (RFC 9293, 3.8.5). It works on a clear connection.
func (c *Client) WriteUrgent(raw []byte) error {
	c.record(fmt.Sprintf("> urgent %q", raw))
	control, err := c.tcp.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = control.Write(func(fd uintptr) bool {
		failure = unix.Send(int(fd), raw, unix.MSG_OOB)
		return !errors.Is(failure, unix.EAGAIN)
	})
	if err = errors.Join(err, failure); err != nil {
		return fmt.Errorf("sending urgent data: %w", err)
	}
	return nil
}

// Telnet codes (RFC 854) that precede ABOR.
const (
	telnetIAC = 255
	telnetIP  = 244
	telnetDM  = 242
)

// Abort sends ABOR as RFC 959, 4.1.3 has it: Telnet IP, then Synch with its data mark as urgent data, then the
// command. It reads no reply.
func (c *Client) Abort() error {
	if err := c.WriteUrgent([]byte{telnetIAC, telnetIP, telnetIAC}); err != nil {
		return err
	}
	if err := c.WriteRaw([]byte{telnetDM}); err != nil {
		return err
	}
	return c.Send("ABOR")
}

// write sends bytes in the way the options say.
func (c *Client) write(raw []byte) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.options.Timeout)); err != nil {
		return err
	}
	if !c.options.ByteWise {
		_, err := c.conn.Write(raw)
		return err
	}
	for i := range raw {
		if _, err := c.conn.Write(raw[i : i+1]); err != nil {
			return err
		}
		time.Sleep(bytePause)
	}
	return nil
}

// Transcript returns the dialogue so far: lines of this side with "> " before them, of the server with "< ". Passwords
// are concealed.
func (c *Client) Transcript() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.transcript...)
}

func (c *Client) record(line string) {
	c.mu.Lock()
	c.transcript = append(c.transcript, line)
	c.mu.Unlock()
	if c.options.Log != nil {
		c.options.Log(line)
	}
}

// concealed is a command as it may be shown.
func concealed(line string) string {
	if verb, _, found := strings.Cut(line, " "); found && strings.EqualFold(verb, "PASS") {
		return verb + " ***"
	}
	return line
}

// addrPort is a TCP address as a value; an IPv4 address is one even on a socket of both families.
func addrPort(a net.Addr) netip.AddrPort {
	p := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}
