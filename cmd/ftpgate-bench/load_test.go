package main

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// startServer serves the load's files on the loopback address of this machine.
func startServer(t *testing.T) netip.AddrPort {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serveFiles(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

// TestLoad: every kind of load against the server itself.
func TestLoad(t *testing.T) {
	server := startServer(t)
	for name, o := range map[string]order{
		"passive files":  {Kind: files, Mode: passive, Sessions: 3, Files: 20},
		"active files":   {Kind: files, Mode: active, Sessions: 3, Files: 20},
		"files by turns": {Kind: files, Mode: byTurns, Sessions: 3, Files: 20},
		"files in time":  {Kind: files, Mode: passive, Sessions: 2, Duration: 50 * time.Millisecond},
		"bulk":           {Kind: bulk, Mode: passive, Sessions: 2, Duration: 50 * time.Millisecond},
		"noop":           {Kind: noop, Sessions: 1, Duration: 50 * time.Millisecond},
		"logins":         {Kind: logins, Sessions: 4, Duration: 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			o.Server, o.Watch = server, os.Getpid()
			r, err := o.run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if r.Seconds <= 0 || r.CPU <= 0 || r.Count == 0 || o.Files != 0 && r.Count != o.Sessions*o.Files {
				t.Errorf("%+v", r)
			}
			if o.Kind == files && (r.Bytes != int64(r.Count)<<10 || r.P50 <= r.OpenP50 || r.P99 < r.P50 || r.OpenP50 <= 0) {
				t.Errorf("%+v", r)
			}
			if o.Kind == bulk && r.Bytes < blockSize {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestHold: sessions stay until they are told to go, with their pinholes if that is asked for.
func TestHold(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	o := order{Kind: hold, Sessions: 20, Pinholes: true, Server: startServer(t)}
	if r, err := o.run(ctx); err != nil || r.Count != o.Sessions {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestRefusal: what a server refuses ends the load, and is told.
func TestRefusal(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte("421-Not\r\n220 today\r\n421 either\r\n"))
			conn.Close()
		}
	}()
	o := order{Kind: files, Mode: passive, Sessions: 2, Files: 1, Server: listener.Addr().(*net.TCPAddr).AddrPort()}
	_, err = o.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "220 today") && !strings.Contains(err.Error(), "421 either") {
		t.Errorf("the error is %v", err)
	}
}

// TestCurl: a client that is not ours gets what the server promises, in all modes, and may store.
func TestCurl(t *testing.T) {
	base := "ftp://" + startServer(t).String() + "/"
	const length = 3*blockSize/2 + 5
	want := append(bytes.Clone(block), block[:blockSize/2+5]...)
	for name, args := range map[string][]string{
		"EPSV": {}, "PASV": {"--disable-epsv"}, "EPRT": {"--ftp-port", "-"}, "PORT": {"--ftp-port", "-", "--disable-eprt"},
	} {
		t.Run(name, func(t *testing.T) {
			args = append(args, "--silent", "--show-error", "--max-time", "20", base+"1572869")
			got, err := exec.CommandContext(t.Context(), "curl", args...).Output()
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != length || !bytes.Equal(got, want) {
				t.Errorf("%d bytes of %d came, or others", len(got), length)
			}
		})
	}
	t.Run("STOR", func(t *testing.T) {
		cmd := exec.CommandContext(t.Context(), "curl", "--verbose", "--max-time", "20", "--upload-file", "-", base+"new")
		cmd.Stdin = bytes.NewReader(want)
		if said, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(said), "226 1572869 bytes") {
			t.Errorf("%v\n%s", err, said)
		}
	})
}
