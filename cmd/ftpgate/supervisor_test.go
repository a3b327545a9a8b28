package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/ftpgate/ftpgate/configs"
)

// fakeSystemd hears what sd_notify sends.
func fakeSystemd(t *testing.T) *net.UnixConn {
	t.Helper()
	address := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"}
	heard, err := net.ListenUnixgram("unixgram", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { heard.Close() })
	t.Setenv("NOTIFY_SOCKET", address.Name)
	return heard
}

// next is the next datagram; what was sent is there already.
func next(t *testing.T, heard *net.UnixConn) string {
	t.Helper()
	heard.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	buffer := make([]byte, 4096)
	n, err := heard.Read(buffer)
	if err != nil {
		return ""
	}
	return string(buffer[:n])
}

func TestSupervisor(t *testing.T) {
	heard := fakeSystemd(t)
	t.Setenv("WATCHDOG_USEC", "60000000")
	o := new(outlook)
	o.parts.Store(&parts{config: new(configs.Config), phase: "it is starting\nREADY=1"})
	s := newSupervisor(zap.NewNop())
	s.phase("starting")
	if got := next(t, heard); got != "STATUS=starting" {
		t.Errorf("at the start: %q", got)
	}
	s.turn(o)
	if got := next(t, heard); got != "STATUS=not ready: it is starting READY=1" {
		t.Errorf("a gateway that is not ready feeds the watchdog, or sends two lines: %q", got)
	}
	s.turn(o)
	if got := next(t, heard); got != "" {
		t.Errorf("said twice: %q", got)
	}
	s.reloading()
	if got := next(t, heard); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") || !strings.Contains(got, "\nSTATUS=reading") {
		t.Errorf("at a reload: %q", got)
	}
	s.ready(o)
	if got := next(t, heard); !strings.HasPrefix(got, "READY=1\nSTATUS=") {
		t.Errorf("after a reload: %q", got)
	}
}

// TestUnsupervised: without systemd nothing is said, and nothing complains.
func TestUnsupervised(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	s := newSupervisor(zap.NewNop())
	s.phase("starting")
	if s.watchdog || s.deaf {
		t.Errorf("%+v", s)
	}
}
