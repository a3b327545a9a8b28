//go:build kernel

package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// TestSessionLog: the last line of a session tells who it was and what it has
// carried, however large or small the files were and whoever connected.
func TestSessionLog(t *testing.T) {
	r := newRouter(t, lab.Options{})
	server := r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{Passive: passiveRange})
	r.start(plain)
	for _, size := range []uint64{1000, 50_000, 5_000_000} {
		for _, mode := range dialogue.Modes(false) {
			t.Run(fmt.Sprintf("%d bytes, %s", size, mode), func(t *testing.T) {
				content := random(int(size))
				if err := server.WriteFile("f", content); err != nil {
					t.Fatal(err)
				}
				before := r.sentAgain(t)
				c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
				for range 3 {
					if _, err := c.Retrieve(mode, "f", io.Discard); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := c.Store(mode, "g", bytes.NewReader(content)); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Retrieve(mode, "missing", io.Discard); err == nil {
					t.Fatal("there is a file that is missing")
				}
				last := r.quit(t, c)
				if last.User != peers.User || last.Transfers != 4 || last.Failed != 1 || !r.about(t, last.Bytes, 4*size, before) || last.Rule != "out" {
					t.Errorf("%+v; not 4 transfers, 1 failed, %d bytes of %s", last, 4*size, peers.User)
				}
			})
		}
	}
	r.stop()
}

// TestSecretsAreNotLogged: no password is in the log, however it is said.
func TestSecretsAreNotLogged(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.serve(peers.ProFTPD(), lab.Outside, peers.ServerOptions{})
	r.start(plain)
	const hidden = "Xyzzy-hidden-7"
	for _, lines := range [][]string{
		{"USER lab", "PASS " + hidden},
		{"user lab", "pAsS " + hidden},
		{"PASS " + hidden},
		{"USER lab", "PASS " + hidden + strings.Repeat("x", 6000)},
		{"USER lab", "PASS a\x00" + hidden},
		{" PASS " + hidden},
		{"USER lab", "PASS " + peers.Password, "ACCT " + hidden, "SITE PSWD old " + hidden, "ADAT " + hidden},
	} {
		c, err := dialogue.Dial(t.Context(), r.Host(lab.Client), mustAddrPort(t, "203.0.113.20:21"), dialogue.Options{})
		if err != nil {
			t.Fatal(err)
		}
		session := r.sessionOf(t, c.Local())
		for _, line := range lines {
			if _, err := c.Cmd(line); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
		c.Close()
		r.ended(t, session)
	}
	for line := range strings.Lines(r.daemon.Output()) {
		if strings.Contains(line, hidden) || strings.Contains(line, peers.Password) {
			t.Errorf("the log has a password: %s", line)
		}
	}
	r.stop()
}
