//go:build kernel

package main

import (
	"bytes"
	"fmt"
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

// TestActiveSourcePort20: with active_source_port_20, a server that connects
// from port 20 is let in, and one that connects from elsewhere is not.
func TestActiveSourcePort20(t *testing.T) {
	eachVariant(t, lab.Options{}, func(t *testing.T, r *router) {
		const config = `
interfaces: {lan: [lan0], wan: [wan0]}
log: {level: debug}
rules:
  - {name: out, direction: outbound, ports: [21, 2121], data: {active_source_port_20: %v}}
`
		proper := r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{Passive: passiveRange})
		improper := r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{Port: 2121})
		r.start(fmt.Sprintf(config, true))
		for _, mode := range []dialogue.Mode{dialogue.PORT, dialogue.EPRT} {
			c := login(t, r.Host(lab.Client), proper.Address(false).String(), dialogue.Options{})
			roundTrip(t, c, mode, proper)
			r.quit(t, c)
		}
		// pyftpdlib connects before it answers, so there is no answer.
		c := login(t, r.Host(lab.Client), improper.Address(false).String(), dialogue.Options{Timeout: 2 * glance})
		if d, err := c.Open(dialogue.PORT); err == nil {
			d.Close()
			t.Error("a server that connects from any port was let in")
		}
		if to := announced(t, r, c); r.tryFrom(t, 1234, to) || !r.tryFrom(t, 20, to) {
			t.Errorf("%s is not open to port 20 alone", to)
		}
		c.Close()
		r.write(fmt.Sprintf(config, false))
		r.reload()
		r.await("configuration reloaded")
		c = login(t, r.Host(lab.Client), improper.Address(false).String(), dialogue.Options{})
		roundTrip(t, c, dialogue.PORT, improper)
		r.stop()
	})
}

// tryFrom dials from a port of the host outside and reports whether the SYN was
// let in: a refusal by the host behind is an answer, too.
func (r *router) tryFrom(t *testing.T, port uint16, to netip.AddrPort) bool {
	t.Helper()
	outside := r.Host(lab.Outside)
	begin := time.Now()
	var c *net.TCPConn
	err := outside.Do(func() error {
		dialer := net.Dialer{Timeout: glance, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(outside.IPv4(), port))}
		conn, err := dialer.Dial("tcp", to.String())
		if err == nil {
			c = conn.(*net.TCPConn)
		}
		return err
	})
	if err == nil {
		c.Close()
	}
	return err == nil || time.Since(begin) < glance
}

// TestDataModes: what the rule does not allow is a 502, and opens nothing.
func TestDataModes(t *testing.T) {
	r := newRouter(t, lab.Options{})
	server := r.serve(peers.Vsftpd(), lab.Server, peers.ServerOptions{Passive: passiveRange})
	r.start(`
interfaces: {lan: [lan0], wan: [wan0]}
log: {level: debug}
rules:
  - {name: passive, direction: inbound, ports: [2101], server: 192.168.50.20, data: {modes: [passive]}}
  - {name: active, direction: inbound, ports: [2102], server: 192.168.50.20, data: {modes: [active]}}
`)
	for port, allowed := range map[string]string{"2101": "PASV EPSV", "2102": "PORT EPRT"} {
		c := login(t, r.Host(lab.Outside), "203.0.113.1:"+port, dialogue.Options{})
		for _, mode := range dialogue.Modes(false) {
			if strings.Contains(allowed, string(mode)) {
				roundTrip(t, c, mode, server)
				continue
			}
			line := string(mode)
			if mode.Active() {
				line = dialogue.Announcement(mode, netip.AddrPortFrom(c.Local().Addr(), 40000))
			}
			if _, err := c.Want(502, line); err != nil {
				t.Errorf("on port %s: %v", port, err)
			}
		}
		if _, err := c.Want(425, "LIST"); err != nil {
			t.Errorf("on port %s: %v", port, err)
		}
	}
	r.stop()
}

// TestForeignAddress: a client behind a translation of its own announces an
// address that is not the one it comes from.
func TestForeignAddress(t *testing.T) {
	r := newRouter(t, lab.Options{})
	server := r.serve(peers.ProFTPD(), lab.Outside, peers.ServerOptions{})
	if err := server.WriteFile("f", []byte("substituted")); err != nil {
		t.Fatal(err)
	}
	r.start(fmt.Sprintf(usualRules, ", data: {foreign_address: substitute}", ""))
	c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
	for _, mode := range []dialogue.Mode{dialogue.PORT, dialogue.EPRT} {
		l, err := r.Host(lab.Client).Listen(t.Context(), netip.AddrPortFrom(c.Local().Addr(), 0))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		claimed := netip.AddrPortFrom(netip.MustParseAddr("10.9.9.9"), mustAddrPort(t, l.Addr().String()).Port())
		if _, err := c.Want(200, dialogue.Announcement(mode, claimed)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Want(150, "RETR f"); err != nil {
			t.Fatal(err)
		}
		l.SetDeadline(time.Now().Add(patience))
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if _, err := got.ReadFrom(conn); err != nil || got.String() != "substituted" {
			t.Errorf("%s: %q, %v", mode, got.String(), err)
		}
		conn.Close()
		if reply, err := c.Read(); err != nil || reply.Code != 226 {
			t.Errorf("%s: %q, %v", mode, reply, err)
		}
	}
	r.stop()
}

// TestCommands: what a rule forbids is refused by the gateway, whatever the
// server would say.
func TestCommands(t *testing.T) {
	r := newRouter(t, lab.Options{})
	server := r.serve(peers.Vsftpd(), lab.Server, peers.ServerOptions{Passive: passiveRange})
	if err := server.WriteFile("f", []byte("here")); err != nil {
		t.Fatal(err)
	}
	r.start(`
interfaces: {lan: [lan0], wan: [wan0]}
log: {level: debug}
rules:
  - {name: reader, direction: inbound, ports: [2101], server: 192.168.50.20, commands: {preset: read_only}}
  - {name: bringer, direction: inbound, ports: [2102], server: 192.168.50.20, commands: {preset: upload_only}}
  - {name: chosen, direction: inbound, ports: [2103], server: 192.168.50.20, commands: {deny: [SITE, DELE]}}
`)
	for _, c := range []struct{ port, refused, allowed string }{
		{"2101", "STOR x,STOU,APPE x,DELE f,MKD d,RMD d,RNFR f,SITE HELP,MDTM 20200101000000 f", "RETR,LIST,NLST"},
		{"2102", "RETR f,DELE f,RNFR f,RMD d,SITE HELP", "STOR,LIST"},
		{"2103", "SITE HELP,DELE f", "RETR,STOR,LIST"},
	} {
		t.Run(c.port, func(t *testing.T) {
			client := login(t, r.Host(lab.Outside), "203.0.113.1:"+c.port, dialogue.Options{})
			for _, line := range strings.Split(c.refused, ",") {
				if _, err := client.Want(502, line); err != nil {
					t.Error(err)
				}
			}
			for _, verb := range strings.Split(c.allowed, ",") {
				if err := allowed(client, verb, "g"+c.port); err != nil {
					t.Errorf("%s: %v", verb, err)
				}
			}
		})
	}
	if _, err := server.ReadFile("f"); err != nil {
		t.Errorf("the file is gone: %v", err)
	}
	r.stop()
}

// allowed does what a verb is for.
func allowed(c *dialogue.Client, verb, fresh string) error {
	var err error
	switch verb {
	case "RETR":
		_, err = c.Retrieve(dialogue.PASV, "f", io.Discard)
	case "STOR":
		_, err = c.Store(dialogue.PORT, fresh, strings.NewReader("brought"))
	default:
		_, _, err = c.List(dialogue.EPSV, verb)
	}
	return err
}

// TestUsers: who may not log in never gets to give a password.
func TestUsers(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.serve(peers.Vsftpd(), lab.Server, peers.ServerOptions{})
	r.start(fmt.Sprintf(usualRules, "", `, users: {allow: ["la*", guest], deny: [guest]}`))
	c, err := dialogue.Dial(t.Context(), r.Host(lab.Outside), mustAddrPort(t, "203.0.113.1:21"), dialogue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, user := range []string{"root", "guest", "xlab"} {
		if _, err := c.Want(530, "USER "+user); err != nil {
			t.Error(err)
		}
	}
	if err := c.Login(peers.User, peers.Password); err != nil {
		t.Error(err)
	}
	r.stop()
}
