package dialogue

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// Transfer is what became of a data connection.
type Transfer struct {
	Mode      Mode
	Announced netip.AddrPort // as in Data
	Local     netip.AddrPort // this side's end of the data connection
	Remote    netip.AddrPort // the other end as this side sees it
	Opened    Reply          // to PORT, EPRT, PASV or EPSV
	Began     Reply          // the preliminary reply (1xx) to the transfer's command
	Ended     Reply          // the final one
	Bytes     int64
	SHA256    string        // of the bytes, in hexadecimal
	Took      time.Duration // from the transfer's command to its final reply
}

// Retrieve downloads a file into w.
func (c *Client) Retrieve(mode Mode, path string, w io.Writer) (Transfer, error) {
	return c.Transfer(mode, "RETR "+path, receive(w))
}

// Store uploads what r holds.
func (c *Client) Store(mode Mode, path string, r io.Reader) (Transfer, error) {
	return c.Transfer(mode, "STOR "+path, send(r))
}

// List runs a command that answers by a text on the data connection: LIST, NLST or MLSD, with their arguments.
func (c *Client) List(mode Mode, command string) (string, Transfer, error) {
	var text bytes.Buffer
	t, err := c.Transfer(mode, command, receive(&text))
	return text.String(), t, err
}

// Carry moves the bytes of a transfer, which it also writes into seen. It need not close the connection.
type Carry func(conn net.Conn, seen io.Writer) (int64, error)

// receive reads all that comes into w.
func receive(w io.Writer) Carry {
	return func(conn net.Conn, seen io.Writer) (int64, error) {
		return io.Copy(io.MultiWriter(w, seen), conn)
	}
}

// send writes all that r holds.
func send(r io.Reader) Carry {
	return func(conn net.Conn, seen io.Writer) (int64, error) {
		return io.Copy(conn, io.TeeReader(r, seen))
	}
}

// Transfer runs one transfer: it agrees upon a data connection, sends the command, and has the bytes carried. The
// Transfer holds what happened also when an error ends it.
func (c *Client) Transfer(mode Mode, command string, carry Carry) (Transfer, error) {
	data, err := c.Open(mode)
	if err != nil {
		return Transfer{Mode: mode}, err
	}
	defer data.Close()
	return data.Transfer(command, carry)
}

// Transfer runs one transfer on a data connection that was agreed upon before.
func (d *Data) Transfer(command string, carry Carry) (t Transfer, err error) {
	t = Transfer{Mode: d.Mode, Announced: d.Announced, Opened: d.Reply}
	start := time.Now()
	defer func() { t.Took = time.Since(start) }()
	if err := d.client.Send(command); err != nil {
		return t, err
	}
	conn, err := d.begin(&t, command)
	if err != nil {
		return t, err
	}
	defer conn.Close()
	t.Local, t.Remote = addrPort(conn.LocalAddr()), addrPort(conn.RemoteAddr())
	hash, protected := sha256.New(), d.protect(conn)
	if t.Bytes, err = carry(&patient{protected, d.client.options.Timeout}, hash); err != nil {
		err = fmt.Errorf("the data of %q after %d bytes: %w", command, t.Bytes, err)
	}
	t.SHA256 = hex.EncodeToString(hash.Sum(nil))
	err = errors.Join(err, end(protected, d.client.options.Timeout))
	var missing error
	if t.Ended, missing = d.client.Read(); missing == nil {
		missing = t.Ended.want(2, command)
	}
	return t, errors.Join(err, missing)
}

// begin brings the data connection up and reads the preliminary reply. A passive server may wait for the connection
// before it replies, so that comes first; an active one that refuses never connects, so there the reply comes first.
func (d *Data) begin(t *Transfer, command string) (*net.TCPConn, error) {
	var conn *net.TCPConn
	var err error
	if !d.Mode.Active() {
		if conn, err = d.Connect(); err != nil {
			return nil, err
		}
	}
	t.Began, err = d.client.Read()
	if err == nil {
		err = t.Began.want(1, command)
	}
	if err == nil && d.Mode.Active() {
		conn, err = d.Connect()
	}
	if err != nil && conn != nil {
		conn.Close()
	}
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// end ends a data connection, which is also the end of an upload. Under TLS this is said first, and the rest of what
// the server says is read: a connection that is closed over unread data, such as session tickets, is reset, and what
// was uploaded last may be lost.
func end(conn net.Conn, timeout time.Duration) error {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return conn.Close()
	}
	// The server may have closed first, in whatever way; whether all has come is for its final reply to say.
	if secure.CloseWrite() == nil {
		if tcp, ok := secure.NetConn().(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
		_, _ = io.Copy(io.Discard, &patient{conn, timeout})
	}
	_ = conn.Close()
	return nil
}

// patient is a connection on which each read and write has a time of its own.
type patient struct {
	net.Conn
	timeout time.Duration
}

func (p *patient) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(p.timeout)); err != nil {
		return 0, err
	}
	return p.Conn.Read(b)
}

func (p *patient) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(p.timeout)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

// Secure asks for TLS on the control connection (RFC 4217) and begins it. With protect, data connections are
// protected as well.
func (c *Client) Secure(config *tls.Config, protect bool) error {
	if _, err := c.Want(234, "AUTH TLS"); err != nil {
		return err
	}
	conn := tls.Client(c.tcp, config)
	if err := conn.SetDeadline(time.Now().Add(c.options.Timeout)); err != nil {
		return err
	}
	if err := conn.Handshake(); err != nil {
		return fmt.Errorf("TLS with %s: %w", c.Server(), err)
	}
	c.conn = conn
	c.reader.Reset(conn)
	if !protect {
		return nil
	}
	if _, err := c.Want(200, "PBSZ 0"); err != nil {
		return err
	}
	if _, err := c.Want(200, "PROT P"); err != nil {
		return err
	}
	c.secure = config
	return nil
}
