//go:build kernel

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// silence is after how long no further reply to an ABOR is to be expected.
const silence = 500 * time.Millisecond

// abortion is one way to cut a transfer in its middle.
type abortion struct {
	name string
	// say is what the client says. The gateway makes a plain ABOR of an urgent one, so beside the server this is never urgent.
	say func(c *dialogue.Client, gateway bool) error
	// cut deals with the data connection then.
	cut func(conn net.Conn)
}

func urgently(c *dialogue.Client, gateway bool) error {
	if gateway {
		return c.Abort()
	}
	return c.Send("ABOR")
}

func plainly(c *dialogue.Client, _ bool) error { return c.Send("ABOR") }

func silently(*dialogue.Client, bool) error { return nil }

var abortions = []abortion{
	{"urgent ABOR, data closed a moment later", urgently, func(conn net.Conn) {
		time.Sleep(silence / 2)
		conn.Close()
	}},
	{"plain ABOR, data read to the end", plainly, func(conn net.Conn) {
		conn.SetReadDeadline(time.Now().Add(patience))
		io.Copy(io.Discard, conn) // how it ends differs, and is no matter
		conn.Close()
	}},
	{"urgent ABOR, data closed at once", urgently, func(conn net.Conn) { conn.Close() }},
	{"no ABOR, data closed", silently, func(conn net.Conn) { conn.Close() }},
}

// TestAbort cuts downloads in their middle. Servers answer in their own ways,
// some not at all or once too often; a client behind the gateway can use the
// session as well as one beside the server.
func TestAbort(t *testing.T) {
	r := newRouter(t, lab.Options{})
	var ports []string
	for i := range peers.ServerKinds() {
		ports = append(ports, fmt.Sprint(firstPort+10*i))
	}
	r.start(fmt.Sprintf(usualRules, ", ports: ["+strings.Join(ports, ", ")+"]", ""))
	defer r.stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for i, kind := range peers.ServerKinds() {
		s := r.serve(kind, lab.Outside, peers.ServerOptions{Port: uint16(firstPort + 10*i), Passive: passiveRange})
		for name, content := range map[string][]byte{"large.bin": random(30 << 20), "small.txt": []byte("small")} {
			if err := s.WriteFile(name, content); err != nil {
				t.Fatal(err)
			}
		}
		wg.Go(func() { r.abortAll(t, s) })
	}
}

// abortAll cuts transfers of one server, with and without the gateway.
func (r *router) abortAll(t *testing.T, s *peers.Server) {
	for _, a := range abortions {
		for _, mode := range []dialogue.Mode{dialogue.PASV, dialogue.EPRT} {
			t.Run(fmt.Sprintf("%s, %s, %s", s.Kind.Name, a.name, mode), func(t *testing.T) {
				codes, without := r.aborted(t, r.Host(lab.Third), s, mode, a)
				with, err := r.aborted(t, r.Host(lab.Client), s, mode, a)
				t.Logf("with the gateway %v, without %v", with, codes)
				if err != nil && without == nil {
					t.Errorf("replies %v, and then with the gateway alone: %v", with, err)
				}
			})
		}
	}
}

// aborted cuts a transfer. It returns the codes that the server said then, and
// nil if the session was good for further ones.
func (r *router) aborted(t *testing.T, from *lab.Host, s *peers.Server, mode dialogue.Mode, a abortion) (codes []int, useless error) {
	c := login(t, from, s.Address(false).String(), dialogue.Options{Timeout: 5 * time.Second})
	defer c.Close()
	d, err := c.Open(mode)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := c.Send("RETR large.bin"); err != nil {
		t.Fatal(err)
	}
	conn, err := d.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if reply, err := c.Read(); err != nil || reply.Code/100 != 1 {
		t.Fatalf("%q, %v", reply, err)
	}
	if _, err := io.CopyN(io.Discard, conn, 100_000); err != nil {
		t.Fatal(err)
	}
	if err := a.say(c, from.Name == lab.Client); err != nil {
		t.Fatal(err)
	}
	a.cut(conn)
	for {
		reply, err := c.ReadWithin(silence)
		if err != nil {
			break
		}
		codes = append(codes, reply.Code)
	}
	if useless = useful(c, mode); useless == nil {
		useless = leave(c)
	}
	return codes, useless
}

// leave ends a session and waits for the server's end of it: pyftpdlib takes the
// next session's socket for that of an active data connection before.
func leave(c *dialogue.Client) error {
	if _, err := c.Want(221, "QUIT"); err != nil {
		return err
	}
	if reply, err := c.Read(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the reply to QUIT: %q, %w", reply, err)
	}
	return nil
}

// useful runs commands and transfers, each of which must get its own replies.
func useful(c *dialogue.Client, mode dialogue.Mode) error {
	for range 2 {
		var got strings.Builder
		_, err := c.Want(200, "NOOP")
		if err == nil {
			_, err = c.Want(257, "PWD")
		}
		if err == nil {
			_, err = c.Retrieve(mode, "small.txt", &got)
		}
		if err == nil && got.String() != "small" {
			err = fmt.Errorf("downloaded %q", got.String())
		}
		if err == nil {
			_, _, err = c.List(mode, "LIST")
		}
		if err != nil {
			return fmt.Errorf("%w\n%s", err, strings.Join(c.Transcript(), "\n"))
		}
	}
	return nil
}
