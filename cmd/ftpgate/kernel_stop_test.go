//go:build kernel

package main

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// TestStopWithDeafClients: clients that do not read hold up neither the stop
// nor the 421 of those that do.
func TestStopWithDeafClients(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{Passive: passiveRange})
	r.start(plain)
	client := r.Host(lab.Client)
	for range 5 {
		deaf := login(t, client, "203.0.113.20:21", dialogue.Options{})
		deaf.Conn().SetReadBuffer(4096)
		deaf.Conn().SetWriteDeadline(time.Now().Add(2 * time.Second))
		for chunk := bytes.Repeat([]byte("HELP\r\n"), 1000); ; {
			if _, err := deaf.Conn().Write(chunk); err != nil {
				break // the gateway reads no more, since its own replies are stuck
			}
		}
	}
	listener := login(t, client, "203.0.113.20:21", dialogue.Options{})
	begin := time.Now()
	r.stop() // which waits 5 s
	t.Logf("stopped after %s", time.Since(begin).Round(time.Millisecond))
	if reply, err := listener.Read(); err != nil || reply.Code != 421 {
		t.Errorf("a client that listens got %q, %v", reply, err)
	}
}

// TestStopDuringADownload: the client gets a 421 and all of its file, and the
// account says that the data connection went on, not that somebody left.
func TestStopDuringADownload(t *testing.T) {
	const size, read = 64 << 20, 1 << 20
	r := newAudited(t, t.TempDir())
	server := r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{})
	if err := server.WriteFile("big", random(size)); err != nil {
		t.Fatal(err)
	}
	r.start(r.configuration())
	c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
	data := connectData(t, c)
	if _, err := c.Want(1, "RETR big"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, data, read); err != nil {
		t.Fatal(err)
	}
	r.stop()
	if reply, err := c.Read(); err != nil || reply.Code != 421 {
		t.Errorf("the client got %q, %v", reply, err)
	}
	if n, err := io.Copy(io.Discard, data); n != size-read || err != nil {
		t.Errorf("%d bytes came after the stop, %v", n, err)
	}
	one := accounts(t, r.transfers, 1)[0]
	if one.Result != "left_running" || one.Cause != "gateway_stopped" || one.Path != "big" || one.Bytes < read || one.Bytes >= size {
		t.Errorf("the account: %+v", one)
	}
	if said := of(r.records(), "a transfer was left to go on"); len(said) != 1 || said[0].Cause != "gateway_stopped" {
		t.Errorf("the log: %+v", said)
	}
	if last := r.ended(t, r.sessionOf(t, c.Local())); last.Failed != 0 || last.Transfers != 0 {
		t.Errorf("the session: %+v", last)
	}
}
