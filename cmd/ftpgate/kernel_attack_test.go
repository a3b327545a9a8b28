//go:build kernel

package main

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// glance is how long a connection is tried that must not come about; a SYN
// that is dropped is never answered.
const glance = 700 * time.Millisecond

// try dials and reports whether it was let in.
func try(t *testing.T, from *lab.Host, to netip.AddrPort) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), glance)
	defer cancel()
	c, err := from.Dial(ctx, to)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// TestBounce: nobody gets a connection to a third host, or to a service.
func TestBounce(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{})
	r.start(plain)
	c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
	for line, code := range map[string]int{
		"PORT 203,0,113,66,24,131":    501, // a third host
		"PORT 192,168,50,20,24,131":   501, // a host on the LAN
		"PORT 192,168,50,1,24,131":    501, // the router
		"PORT 203,0,113,1,24,131":     501,
		"PORT 127,0,0,1,24,131":       501,
		"PORT 192,168,50,10,0,25":     504, // mail
		"PORT 192,168,50,10,23,112":   504, // X11
		"EPRT |1|203.0.113.66|6275|":  501,
		"EPRT |2|2001:db8::1|6275|":   522,
		"PORT 192,168,50,10,256,22":   501, // wraps to 22 elsewhere
		"EPRT |1|192.168.50.10|65558": 501,
	} {
		if _, err := c.Want(code, line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if got := r.gates(); got != "" {
		t.Errorf("pinholes were opened:\n%s", got)
	}
	if _, err := c.Want(200, "NOOP"); err != nil {
		t.Errorf("the session does not live on: %v", err)
	}
}

// TestStealing: a pinhole is for one address, one connection; a stranger gets
// nothing and takes nothing from its owner.
func TestStealing(t *testing.T) {
	eachVariant(t, lab.Options{}, func(t *testing.T, r *router) {
		outside := r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{})
		inside := r.serve(peers.Vsftpd(), lab.Server, peers.ServerOptions{})
		for _, s := range []*peers.Server{outside, inside} {
			if err := s.WriteFile("f", random(1000)); err != nil {
				t.Fatal(err)
			}
		}
		r.start(plain)
		client, beyond, third := r.Host(lab.Client), r.Host(lab.Outside), r.Host(lab.Third)

		t.Run("active, outbound", func(t *testing.T) {
			c := login(t, client, "203.0.113.20:21", dialogue.Options{})
			d, err := c.Open(dialogue.PORT)
			if err != nil {
				t.Fatal(err)
			}
			public := announced(t, r, c)
			if try(t, third, public) {
				t.Error("a third host was let in")
			}
			if _, err := d.Transfer("RETR f", discard); err != nil {
				t.Errorf("the pinhole was lost to a stranger: %v", err)
			}
			if try(t, beyond, public) {
				t.Error("the pinhole was used twice")
			}
		})
		t.Run("passive, inbound", func(t *testing.T) {
			c := login(t, beyond, "203.0.113.1:21", dialogue.Options{})
			d, err := c.Open(dialogue.PASV)
			if err != nil {
				t.Fatal(err)
			}
			if try(t, third, d.Announced) {
				t.Error("a third host was let in")
			}
			conn, err := d.Connect()
			if err != nil {
				t.Fatalf("the pinhole was lost to a stranger: %v", err)
			}
			defer conn.Close()
			if try(t, beyond, d.Announced) {
				t.Error("the pinhole admitted two connections")
			}
			if try(t, third, d.Announced) {
				t.Error("a third host was let in after its owner")
			}
		})
		t.Run("at the end of the control connection", func(t *testing.T) {
			c := login(t, beyond, "203.0.113.1:21", dialogue.Options{})
			d, err := c.Open(dialogue.PASV)
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			eventually(t, "the pinhole's end", func() bool { return !strings.Contains(r.gates(), gateOf(d.Announced.Port())) })
			if try(t, beyond, d.Announced) {
				t.Error("the pinhole outlived its control connection")
			}
		})
	})
}

// announced is what the gateway made of the last PORT that the client has said,
// once its log, which is read by another goroutine, has come so far.
func announced(t *testing.T, r *router, c *dialogue.Client) (sent netip.AddrPort) {
	t.Helper()
	said := ""
	for _, line := range c.Transcript() {
		if line, own := strings.CutPrefix(line, "> "); own && strings.HasPrefix(line, "PORT ") {
			said = line
		}
	}
	session := r.sessionOf(t, c.Local())
	eventually(t, "what became of "+said, func() bool {
		for _, rec := range of(ofSession(r.records(), session), announces) {
			if rec.Said != said {
				continue
			}
			var err error
			if sent, err = dialogue.ParsePASV(rec.Sent); err != nil {
				t.Fatal(err)
			}
			return true
		}
		return false
	})
	return sent
}

func discard(conn net.Conn, seen io.Writer) (int64, error) { return io.Copy(seen, conn) }
