//go:build kernel

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// way is a host from which a server is reached, and the address that it dials.
type way struct {
	name   string
	from   string
	dials  string
	server *peers.Server
}

func (w way) modes() []dialogue.Mode {
	return dialogue.Modes(netip.MustParseAddrPort(w.dials).Addr().Is6())
}

// eachServer runs a test with every kind of server, which are on both sides of
// one router, one kind after the other.
func eachServer(t *testing.T, o peers.ServerOptions, config string, test func(t *testing.T, r *router, outside, inside *peers.Server)) {
	r := newRouter(t, lab.Options{})
	r.start(config)
	defer r.stop()
	for _, kind := range peers.ServerKinds() {
		t.Run(kind.Name, func(t *testing.T) {
			r := r.in(t)
			outside, inside := r.serve(kind, lab.Outside, o), r.serve(kind, lab.Server, o)
			defer outside.Stop()
			defer inside.Stop()
			test(t, r, outside, inside)
		})
	}
}

// usualWays are the translated ways over both families.
func usualWays(outside, inside *peers.Server) []way {
	return []way{
		{"outbound, IPv4", lab.Client, "203.0.113.20:21", outside},
		{"outbound, IPv6", lab.Client, "[2001:db8:113::20]:21", outside},
		{"inbound, IPv4", lab.Outside, "203.0.113.1:21", inside},
		{"inbound, IPv6", lab.Outside, "[2001:db8:113::1]:21", inside},
	}
}

// TestAnnouncedPrivateAddress: a server behind a translation of its own, set up
// by hand, claims an address that nobody can reach.
func TestAnnouncedPrivateAddress(t *testing.T) {
	private := netip.MustParseAddr("10.0.0.9")
	eachServer(t, peers.ServerOptions{Announce: private, Passive: passiveRange}, plain, func(t *testing.T, r *router, outside, inside *peers.Server) {
		for _, w := range usualWays(outside, inside) {
			if strings.Contains(w.dials, "[") {
				continue // 229 has no address
			}
			t.Run(w.name, func(t *testing.T) {
				c := login(t, r.Host(w.from), w.dials, dialogue.Options{})
				d, err := c.Open(dialogue.PASV)
				if err != nil {
					t.Fatal(err)
				}
				if want := mustAddrPort(t, w.dials).Addr(); d.Announced.Addr() != want {
					t.Errorf("the client is told %s instead of %s", d.Announced.Addr(), want)
				}
				// Otherwise this test shows nothing.
				eventually(t, "the server's claim", func() bool {
					said := of(ofSession(r.records(), r.sessionOf(t, c.Local())), announces)
					return len(said) == 1 && strings.Contains(said[0].Said, "(10,0,0,9,")
				})
				roundTrip(t, c, dialogue.PASV, w.server)
				// Clients that believe what a 227 says.
				file := peers.File{Remote: "believed.bin", Local: filepath.Join(t.TempDir(), "believed.bin")}
				if err := w.server.WriteFile(file.Remote, random(5000)); err != nil {
					t.Fatal(err)
				}
				for _, kind := range []peers.ClientKind{peers.Curl(), peers.Ftplib()} {
					target := peers.Target{From: r.Host(w.from), Server: mustAddrPort(t, w.dials), Mode: dialogue.PASV}
					if _, err := kind.Get(t.Context(), target, file); err != nil {
						t.Error(err)
					}
				}
			})
		}
	})
}

// TestOtherPorts: a server outside on port 2121, and a published one there that
// clients reach on port 21.
func TestOtherPorts(t *testing.T) {
	const rules = `
interfaces: {lan: [lan0], wan: [wan0]}
log: {level: debug}
rules:
  - {name: out, direction: outbound, ports: [21, 2121]}
  - {name: in, direction: inbound, server: ["192.168.50.20:2121", "[2001:db8:50::20]:2121"]}
`
	eachServer(t, peers.ServerOptions{Port: 2121, Passive: passiveRange}, rules, func(t *testing.T, r *router, outside, inside *peers.Server) {
		for _, w := range []way{
			{"outbound, IPv4", lab.Client, "203.0.113.20:2121", outside},
			{"outbound, IPv6", lab.Client, "[2001:db8:113::20]:2121", outside},
			{"inbound, IPv4", lab.Outside, "203.0.113.1:21", inside},
			{"inbound, IPv6", lab.Outside, "[2001:db8:113::1]:21", inside},
			{"inbound, routed, IPv6", lab.Outside, "[2001:db8:50::20]:2121", inside},
		} {
			t.Run(w.name, func(t *testing.T) {
				c := login(t, r.Host(w.from), w.dials, dialogue.Options{})
				for _, mode := range w.modes() {
					roundTrip(t, c, mode, w.server)
				}
				r.quit(t, c)
			})
		}
	})
}

// TestByteByByte: each byte of a command in a segment of its own.
func TestByteByByte(t *testing.T) {
	eachServer(t, peers.ServerOptions{Passive: passiveRange}, plain, func(t *testing.T, r *router, outside, inside *peers.Server) {
		for _, w := range usualWays(outside, inside) {
			t.Run(w.name, func(t *testing.T) {
				c := login(t, r.Host(w.from), w.dials, dialogue.Options{ByteWise: true})
				for _, mode := range w.modes() {
					roundTrip(t, c, mode, w.server)
				}
				r.quit(t, c)
			})
		}
	})
}

// TestPipelined: a whole session in one segment, from the login to the transfer.
func TestPipelined(t *testing.T) {
	eachServer(t, peers.ServerOptions{Passive: passiveRange}, plain, func(t *testing.T, r *router, outside, inside *peers.Server) {
		for _, w := range usualWays(outside, inside) {
			for _, mode := range w.modes() {
				if mode.Active() && w.server.Kind.Name == peers.Pyftpdlib().Name {
					continue // it answers a RETR in the same segment before the PORT, for which it connects first
				}
				t.Run(fmt.Sprintf("%s, %s", w.name, mode), func(t *testing.T) { r.pipelined(t, w, mode) })
			}
		}
	})
}

func (r *router) pipelined(t *testing.T, w way, mode dialogue.Mode) {
	if err := w.server.WriteFile("pipelined.txt", []byte("here")); err != nil {
		t.Fatal(err)
	}
	c, err := dialogue.Dial(t.Context(), r.Host(w.from), mustAddrPort(t, w.dials), dialogue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ours := netip.AddrPortFrom(c.Local().Addr(), 0)
	l, err := r.Host(w.from).Listen(t.Context(), ours)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	negotiation, code := string(mode), map[dialogue.Mode]int{dialogue.PASV: 227, dialogue.EPSV: 229}[mode]
	if mode.Active() {
		negotiation, code = dialogue.Announcement(mode, mustAddrPort(t, l.Addr().String())), 200
	}
	if err := c.Send("USER "+peers.User, "PASS "+peers.Password, "TYPE I", negotiation, "RETR pipelined.txt"); err != nil {
		t.Fatal(err)
	}
	var reply dialogue.Reply
	for _, want := range []int{331, 230, 200, code} {
		if reply, err = c.Read(); err != nil || reply.Code != want {
			t.Fatalf("%v\n%s", err, strings.Join(c.Transcript(), "\n"))
		}
	}
	conn, err := connect(r.Host(w.from), ours, l, reply, c.Server().Addr())
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	conn.Close() // ProFTPD waits for it before its 226
	if err != nil || string(got) != "here" {
		t.Errorf("got %q: %v", got, err)
	}
	for _, want := range []int{1, 2} {
		if reply, err := c.Read(); err != nil || reply.Code/100 != want {
			t.Errorf("%q, %v", reply, err)
		}
	}
}

// connect makes the data connection that a reply is about.
func connect(from *lab.Host, ours netip.AddrPort, l *net.TCPListener, reply dialogue.Reply, server netip.Addr) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var at netip.AddrPort
	var err error
	switch reply.Code {
	case 227:
		at, err = dialogue.ParsePASV(reply.Text())
	case 229:
		at, err = dialogue.ParseEPSV(reply.Text(), server)
	default:
		l.SetDeadline(time.Now().Add(patience))
		return l.Accept()
	}
	if err != nil {
		return nil, err
	}
	return from.DialFrom(ctx, ours, at)
}
