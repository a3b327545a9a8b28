//go:build kernel

package main

import (
	"bytes"
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
