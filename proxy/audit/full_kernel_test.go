//go:build kernel

package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// small mounts a file system of so many pages until the test ends.
func small(t *testing.T, pages int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", pages*os.Getpagesize())); err != nil {
		t.Fatalf("mounting a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestFullInTheMiddle: the disk is full in the middle of a line. What is in the
// file stays whole, and goes on whole when there is room.
func TestFullInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := small(t, 2)
		file, filler := filepath.Join(dir, "t"), filepath.Join(dir, "filler")
		if err := os.WriteFile(filler, make([]byte, os.Getpagesize()), 0o600); err != nil {
			t.Fatal(err)
		}
		l, logs := opened(t, Files{Transfers: file})
		long := strings.Repeat("x", 1000)
		for i := range 10 {
			l.Record(named(fmt.Sprint(i, "-", long)))
		}
		settled(t, l)
		full := l.Stats()
		if full.Written != 3 || full.Lost != 7 || full.Error != "audit.transfers: write "+file+": no space left on device" {
			t.Errorf("%+v", full)
		}
		if info, err := os.Stat(file); err != nil || info.Size() >= int64(os.Getpagesize()) {
			t.Errorf("the file has %d bytes, a part of a line is in it; %v", info.Size(), err)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		l.Record(named("after"))
		time.Sleep(calm + lookEvery)
		closed(t, l)
		want := fmt.Sprintf("0-%[1]s 1-%[1]s 2-%[1]s after", long)
		if got := paths(t, file); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if got, want := said(logs), "audit records are being lost, sessions go on\naudit records are written again: 7"; got != want {
			t.Errorf("it said:\n%s", got)
		}
	})
}
