package dialogue

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Mode is a way to agree upon a data connection, named by its command.
type Mode string

// The modes of RFC 959 and RFC 2428.
const (
	PORT Mode = "PORT"
	EPRT Mode = "EPRT"
	PASV Mode = "PASV"
	EPSV Mode = "EPSV"
)

// Modes lists the modes that a family of addresses allows: PORT and PASV can write IPv4 only.
func Modes(six bool) []Mode {
	if six {
		return []Mode{EPRT, EPSV}
	}
	return []Mode{PORT, EPRT, PASV, EPSV}
}

// Active says whether the server connects.
func (m Mode) Active() bool { return m == PORT || m == EPRT }

// Data is a data connection that was agreed upon and does not exist yet.
type Data struct {
	Mode Mode
	// Announced is where the listening side said it listens: this side in an active mode, the server in a passive one.
	Announced netip.AddrPort
	// Reply answered the command.
	Reply Reply

	client   *Client
	listener *net.TCPListener // active modes
}

// Open agrees upon a data connection. The caller connects or closes it.
func (c *Client) Open(mode Mode) (*Data, error) {
	if mode.Active() {
		return c.openActive(mode)
	}
	return c.openPassive(mode)
}

// openActive listens on the control connection's own address and announces it.
func (c *Client) openActive(mode Mode) (*Data, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.options.Timeout)
	defer cancel()
	listener, err := c.network.Listen(ctx, netip.AddrPortFrom(c.Local().Addr(), 0))
	if err != nil {
		return nil, fmt.Errorf("listening for data: %w", err)
	}
	d := &Data{Mode: mode, Announced: addrPort(listener.Addr()), client: c, listener: listener}
	line := Announcement(mode, d.Announced)
	if d.Reply, err = c.Want(2, line); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// openPassive asks the server to listen.
func (c *Client) openPassive(mode Mode) (*Data, error) {
	code, parse := 227, ParsePASV
	if mode == EPSV {
		code, parse = 229, func(text string) (netip.AddrPort, error) {
			return ParseEPSV(text, c.Server().Addr())
		}
	}
	reply, err := c.Want(code, string(mode))
	if err != nil {
		return nil, err
	}
	announced, err := parse(reply.Text())
	return &Data{Mode: mode, Announced: announced, Reply: reply, client: c}, err
}

// Connect makes the data connection: it waits for the server's, or connects to the server's address. It ends the
// listening, so that there is one.
func (d *Data) Connect() (*net.TCPConn, error) {
	if d.listener == nil {
		ctx, cancel := context.WithTimeout(context.Background(), d.client.options.Timeout)
		defer cancel()
		from := netip.AddrPortFrom(d.client.Local().Addr(), 0)
		conn, err := d.client.network.DialFrom(ctx, from, d.Announced)
		if err != nil {
			return nil, fmt.Errorf("connecting for data to %s: %w", d.Announced, err)
		}
		return conn, nil
	}
	defer d.Close()
	if err := d.listener.SetDeadline(time.Now().Add(d.client.options.Timeout)); err != nil {
		return nil, err
	}
	conn, err := d.listener.AcceptTCP()
	if err != nil {
		return nil, fmt.Errorf("waiting for the server's data connection at %s: %w", d.Announced, err)
	}
	return conn, nil
}

// Close gives up what was agreed upon, as far as this side can. A connection that Connect returned is not touched.
func (d *Data) Close() error {
	if d.listener == nil {
		return nil
	}
	return d.listener.Close()
}

// protect wraps a data connection in TLS if the session's data are protected. Whoever connects, the FTP client is the
// TLS client (RFC 4217, 7).
func (d *Data) protect(conn *net.TCPConn) net.Conn {
	if d.client.secure == nil {
		return conn
	}
	return tls.Client(conn, d.client.secure)
}

// Announcement is the line that tells a server to connect there: PORT or EPRT.
func Announcement(mode Mode, at netip.AddrPort) string {
	if mode == PORT {
		a := at.Addr().As4()
		return fmt.Sprintf("PORT %d,%d,%d,%d,%d,%d", a[0], a[1], a[2], a[3], at.Port()>>8, at.Port()&0xff)
	}
	family := 1
	if at.Addr().Is6() {
		family = 2
	}
	return fmt.Sprintf("EPRT |%d|%s|%d|", family, at.Addr(), at.Port())
}

var (
	// pasvNumbers are the six numbers of a 227; RFC 1123, 4.1.2.6 says that nothing around them can be relied on.
	pasvNumbers = regexp.MustCompile(`\d{1,3}(,\d{1,3}){5}`)
	epsvPort    = regexp.MustCompile(`\(([!-~])([!-~])([!-~])(\d{1,5})([!-~])\)`)
)

// ParsePASV reads the address in the text of a 227.
func ParsePASV(text string) (netip.AddrPort, error) {
	var numbers [6]byte
	for i, field := range strings.Split(pasvNumbers.FindString(text), ",") {
		number, err := strconv.ParseUint(field, 10, 8)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("reading the address in %q: %w", text, err)
		}
		numbers[i] = byte(number)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(numbers[:4])), uint16(numbers[4])<<8|uint16(numbers[5])), nil
}

// ParseEPSV reads the port in the text of a 229, and puts it behind the server's address.
func ParseEPSV(text string, server netip.Addr) (netip.AddrPort, error) {
	found := epsvPort.FindStringSubmatch(text)
	if found == nil || found[1] != found[2] || found[1] != found[3] || found[1] != found[5] {
		return netip.AddrPort{}, fmt.Errorf("there is no port in %q", text)
	}
	port, err := strconv.ParseUint(found[4], 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("reading the port in %q: %w", text, err)
	}
	return netip.AddrPortFrom(server, uint16(port)), nil
}
