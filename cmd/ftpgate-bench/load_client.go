package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"time"
)

const (
	// patience bounds each step of both sides: a connection, a command with its reply, a piece of data.
	patience = 30 * time.Second
	// replyLength is the longest reply line that the client reads, in bytes.
	replyLength = 512
	// checkedEdge is how many bytes at both ends of each piece of a large file are compared with what was sent. All
	// are, of a small one.
	checkedEdge = 512
)

// mode says who makes the data connection.
type mode string

// The modes, by what RFC 959 calls them.
const (
	passive mode = "passive"
	active  mode = "active"
	byTurns mode = "by turns"
)

// client is a control connection, seen by the client. It checks each reply, and the length and content of each file.
type client struct {
	control *net.TCPConn
	in      *bufio.Reader
	out     []byte // a command; reused
	data    []byte // where files go; reused, made when first needed
}

// dial connects and reads the greeting.
func dial(server netip.AddrPort) (*client, error) {
	control, err := connect(server)
	if err != nil {
		return nil, fmt.Errorf("control connection: %w", err)
	}
	c := &client{control: control, in: bufio.NewReaderSize(control, replyLength)}
	if _, err := c.reply("220"); err != nil {
		control.Close()
		return nil, fmt.Errorf("greeting: %w", err)
	}
	return c, nil
}

// connect makes a connection from any port. It leaves the choice to the kernel's connect(2), which may take a port that
// other connections have; Dialer.DialTCP would bind one that nobody has, and soon there is none.
func connect(to netip.AddrPort) (*net.TCPConn, error) {
	conn, err := net.DialTimeout("tcp", to.String(), patience)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// login is USER, PASS and TYPE I.
func (c *client) login() error {
	if _, err := c.command("331", "USER ", "bench"); err != nil {
		return err
	}
	if _, err := c.command("230", "PASS ", "bench"); err != nil {
		return err
	}
	_, err := c.command("200", "TYPE ", "I")
	return err
}

// quit is QUIT, and the end of the connection.
func (c *client) quit() error {
	_, err := c.command("221", "QUIT", "")
	c.control.Close()
	return err
}

// command sends a command and reads its reply.
func (c *client) command(want, verb, argument string) ([]byte, error) {
	c.out = append(append(c.out[:0], verb...), argument...)
	return c.exchange(want)
}

// exchange sends the command in c.out and reads its reply. The text it returns is valid until the next one.
func (c *client) exchange(want string) ([]byte, error) {
	c.out = append(c.out, "\r\n"...)
	c.control.SetDeadline(time.Now().Add(patience))
	if _, err := c.control.Write(c.out); err != nil {
		return nil, fmt.Errorf("%s: %w", c.said(), err)
	}
	text, err := c.reply(want)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.said(), err)
	}
	return text, nil
}

// said is the command that was sent last.
func (c *client) said() []byte { return bytes.TrimRight(c.out, "\r\n") }

// reply reads a reply to its last line (RFC 959, 4.2), which must bear the code that is wanted.
func (c *client) reply(want string) ([]byte, error) {
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return nil, fmt.Errorf("reading the reply: %w", err)
		}
		if len(line) < 4 || line[3] == '-' || line[0] == ' ' {
			continue
		}
		line = bytes.TrimRight(line, "\r\n")
		if string(line[:3]) != want {
			return nil, fmt.Errorf("the reply is %q and not %s", line, want)
		}
		return line[4:], nil
	}
}

// timing is how long a transfer took.
type timing struct {
	opened time.Duration // from PASV or PORT to its reply
	done   time.Duration // from PASV or PORT to the end of the data and the 226
	data   time.Duration // from the 150 to the end of the data
	bytes  int64
}

// retrieve fetches a file over a data connection of its own.
func (c *client) retrieve(m mode, name string) (timing, error) {
	if m == active {
		return c.retrieveActive(name)
	}
	begin := time.Now()
	text, err := c.command("227", "PASV", "")
	if err != nil {
		return timing{}, err
	}
	t := timing{opened: time.Since(begin)}
	to, err := parsePassive(text)
	if err != nil {
		return t, fmt.Errorf("PASV: %w", err)
	}
	data, err := connect(to)
	if err != nil {
		return t, fmt.Errorf("data connection to %s: %w", to, err)
	}
	defer data.Close()
	if _, err := c.command("150", "RETR ", name); err != nil {
		return t, err
	}
	err = c.fetch(data, name, begin, &t)
	return t, err
}

// retrieveActive listens on a port of its own for each file, as clients do.
func (c *client) retrieveActive(name string) (timing, error) {
	local := c.control.LocalAddr().(*net.TCPAddr)
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: local.IP})
	if err != nil {
		return timing{}, fmt.Errorf("listening for data: %w", err)
	}
	defer listener.Close()
	begin := time.Now()
	c.out = appendHostPort(append(c.out[:0], "PORT "...), listener.Addr().(*net.TCPAddr).AddrPort())
	if _, err := c.exchange("200"); err != nil {
		return timing{}, err
	}
	t := timing{opened: time.Since(begin)}
	// The 150 is read first, because a refusal comes instead of it, and no data connection does then.
	if _, err := c.command("150", "RETR ", name); err != nil {
		return t, err
	}
	listener.SetDeadline(time.Now().Add(patience))
	data, err := listener.AcceptTCP()
	if err != nil {
		return t, fmt.Errorf("accepting the data connection: %w", err)
	}
	defer data.Close()
	err = c.fetch(data, name, begin, &t)
	return t, err
}

// fetch reads the data and the final reply.
func (c *client) fetch(data *net.TCPConn, name string, begin time.Time, t *timing) error {
	started := time.Now()
	var err error
	if t.bytes, err = c.read(data); err != nil {
		return fmt.Errorf("RETR %s: after %d bytes of data: %w", name, t.bytes, err)
	}
	t.data = time.Since(started)
	text, err := c.reply("226")
	if err != nil {
		return fmt.Errorf("RETR %s: %w", name, err)
	}
	t.done = time.Since(begin)
	return checkLength(name, text, t.bytes)
}

// checkLength compares what came with what the name of the file or, if that is a duration, the server promises.
func checkLength(name string, text []byte, got int64) error {
	f, err := parseFile(name)
	if err != nil {
		return err
	}
	if f.duration != 0 {
		number, _, _ := bytes.Cut(text, []byte(" "))
		if f.length, err = strconv.ParseInt(string(number), 10, 64); err != nil {
			return fmt.Errorf("RETR %s: no length in the reply 226 %s", name, text)
		}
	}
	if got != f.length {
		return fmt.Errorf("RETR %s: %d bytes came instead of %d", name, got, f.length)
	}
	return nil
}

// read reads a data connection to its end and compares what comes with what files consist of.
func (c *client) read(data *net.TCPConn) (got int64, err error) {
	if c.data == nil {
		c.data = make([]byte, pieceSize)
	}
	for {
		data.SetReadDeadline(time.Now().Add(patience))
		n, err := data.Read(c.data)
		if !likeContent(c.data[:n], got) {
			return got, fmt.Errorf("the next %d bytes are not those of the file", n)
		}
		got += int64(n)
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			return got, err
		}
	}
}

// likeContent compares the edges of a piece with the content at its place.
func likeContent(piece []byte, offset int64) bool {
	if len(piece) <= 2*checkedEdge {
		return isContent(piece, offset)
	}
	last := len(piece) - checkedEdge
	return isContent(piece[:checkedEdge], offset) && isContent(piece[last:], offset+int64(last))
}

// isContent compares all of a piece with the content at its place.
func isContent(piece []byte, offset int64) bool {
	for len(piece) > 0 {
		want := at(offset, int64(len(piece)))
		if !bytes.Equal(piece[:len(want)], want) {
			return false
		}
		piece, offset = piece[len(want):], offset+int64(len(want))
	}
	return true
}
