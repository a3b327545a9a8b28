//go:build kernel

package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// TestTLSPassthrough: after 234 the control connection passes unread, and the
// gateway opens nothing for it any more.
func TestTLSPassthrough(t *testing.T) {
	eachServer(t, peers.ServerOptions{TLS: true, Passive: passiveRange}, plain, func(t *testing.T, r *router, outside, _ *peers.Server) {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(outside.Certificate) {
			t.Fatal("the server's certificate cannot be read")
		}
		for _, six := range []bool{false, true} {
			t.Run(fmt.Sprintf("six=%v", six), func(t *testing.T) { r.passedThrough(t, outside.Address(six).String(), roots) })
		}
	})
}

func (r *router) passedThrough(t *testing.T, dials string, roots *x509.CertPool) {
	address := mustAddrPort(t, dials)
	c, err := dialogue.Dial(t.Context(), r.Host(lab.Client), address, dialogue.Options{Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	session := r.sessionOf(t, c.Local())
	if err := c.Secure(&tls.Config{RootCAs: roots, ServerName: address.Addr().String()}, false); err != nil {
		t.Fatal(err)
	}
	if err := c.Login(peers.User, peers.Password); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Want(200, "NOOP"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the log's word on it", func() bool {
		for _, rec := range ofSession(r.records(), session) {
			if strings.Contains(rec.Message, "passes unread") {
				return true
			}
		}
		return false
	})
	d, err := c.Open(dialogue.EPSV)
	if err != nil {
		t.Fatal(err)
	}
	if gates := r.gates(); gates != "" {
		t.Errorf("there are pinholes:\n%s", gates)
	}
	if try(t, r.Host(lab.Client), d.Announced) {
		t.Error("a data connection passed the gateway that it cannot have read of")
	}
	if said := of(ofSession(r.records(), session), announces); len(said) > 0 {
		t.Errorf("the gateway has read %+v", said)
	}
	c.Close()
	if last := r.ended(t, session); last.Transfers != 0 || !strings.Contains(last.Why, "TLS") {
		t.Errorf("the last line is %+v", last)
	}
}

// TestTLSAfterNegotiation: a pinhole that was opened in clear does not outlive
// the turn to TLS.
func TestTLSAfterNegotiation(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.serve(peers.Pyftpdlib(), lab.Server, peers.ServerOptions{TLS: true})
	r.start(plain)
	c := login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{})
	d, err := c.Open(dialogue.PASV)
	if err != nil {
		t.Fatal(err)
	}
	if r.gates() == "" {
		t.Fatal("there is no pinhole, so this test shows nothing")
	}
	if _, err := c.Want(234, "AUTH TLS"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the pinhole", func() bool { return r.gates() == "" })
	if try(t, r.Host(lab.Outside), d.Announced) {
		t.Error("the pinhole outlived the turn to TLS")
	}
	r.stop()
}

// TestTLSRefused: a client is not told of TLS, and does not get it; the session
// goes on in clear.
func TestTLSRefused(t *testing.T) {
	refusing := fmt.Sprintf(usualRules, ", tls: {client: refuse}", ", tls: {client: refuse}")
	eachServer(t, peers.ServerOptions{TLS: true, Passive: passiveRange}, refusing, func(t *testing.T, r *router, outside, inside *peers.Server) {
		for _, w := range usualWays(outside, inside) {
			t.Run(w.name, func(t *testing.T) {
				c := login(t, r.Host(w.from), w.dials, dialogue.Options{})
				features, err := c.Want(211, "FEAT")
				if err != nil {
					t.Fatal(err)
				}
				for _, hidden := range []string{"AUTH", "PBSZ", "PROT", "CCC"} {
					if strings.Contains(features.String(), hidden) {
						t.Errorf("FEAT has %s:\n%s", hidden, features)
					}
				}
				if !strings.Contains(features.String(), "SIZE") {
					t.Errorf("FEAT has not even SIZE:\n%s", features)
				}
				for line, code := range map[string]int{"AUTH TLS": 534, "AUTH SSL": 534, "PBSZ 0": 503, "PROT P": 503, "CCC": 533} {
					if _, err := c.Want(code, line); err != nil {
						t.Error(err)
					}
				}
				roundTrip(t, c, dialogue.EPSV, w.server)
				r.quit(t, c)
			})
		}
	})
}
