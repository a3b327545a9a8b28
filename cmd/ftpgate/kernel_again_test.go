//go:build kernel

package main

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// TestSamePortAgain: a client that listens at the same port for one file after
// the other gets them all, though conntrack still holds the connections before,
// and the server connects from port 20 each time.
func TestSamePortAgain(t *testing.T) {
	const files, content = 200, "content"
	eachVariant(t, lab.Options{}, func(t *testing.T, r *router) {
		server := r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{})
		if err := server.WriteFile("f", []byte(content)); err != nil {
			t.Fatal(err)
		}
		r.start(plain)
		c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
		listener, err := r.Host(lab.Client).Listen(t.Context(), mustAddrPort(t, "192.168.50.10:0"))
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		port := mustAddrPort(t, listener.Addr().String()).Port()
		for i := range files {
			if _, err := c.Want(200, fmt.Sprintf("PORT 192,168,50,10,%d,%d", port>>8, port&0xff)); err != nil {
				t.Fatalf("file %d: %v", i, err)
			}
			if _, err := c.Want(150, "RETR f"); err != nil {
				t.Fatalf("file %d: %v", i, err)
			}
			listener.SetDeadline(time.Now().Add(patience))
			data, err := listener.Accept()
			if err != nil {
				t.Fatalf("file %d: %v", i, err)
			}
			got, err := io.ReadAll(data)
			data.Close()
			if err != nil || string(got) != content {
				t.Fatalf("file %d: %q, %v", i, got, err)
			}
			if reply, err := c.Read(); err != nil || reply.Code != 226 {
				t.Fatalf("file %d: %v, %v", i, reply, err)
			}
		}
		last := r.quit(t, c)
		const carried = files * uint64(len(content)) // conntrack's account is an estimate
		if last.Transfers != files || last.Failed != 0 || last.Bytes < carried*95/100 || last.Bytes > carried*105/100 {
			t.Errorf("the session's end says %+v", last)
		}
		r.stop()
	})
}
