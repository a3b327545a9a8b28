package audit

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/proxy"
)

// opened is a Log and what it logs.
func opened(t *testing.T, files Files) (*Log, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	l, err := Open(zap.New(core), files)
	if err != nil {
		t.Fatal(err)
	}
	return l, logs
}

func closed(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func named(name string) proxy.Transfer {
	return download(func(t *proxy.Transfer) { t.Path = name })
}

// paths are those of the JSON lines of a file; "?" is a line that is none.
func paths(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(text)) {
		_, rest, found := strings.Cut(line, `"path":"`)
		path, _, _ := strings.Cut(rest, `"`)
		if !found || !strings.HasSuffix(line, "}\n") {
			path = "?"
		}
		all = append(all, path)
	}
	return strings.Join(all, " ")
}

func said(logs *observer.ObservedLogs) string {
	var all []string
	for _, e := range logs.All() {
		line := e.Message
		if lost, ok := e.ContextMap()["lost"]; ok {
			line += fmt.Sprint(": ", lost)
		}
		all = append(all, line)
	}
	return strings.Join(all, "\n")
}

func TestBothFiles(t *testing.T) {
	dir := t.TempDir()
	files := Files{filepath.Join(dir, "transfers.json"), filepath.Join(dir, "xferlog")}
	l, _ := opened(t, files)
	l.Record(named("a"))
	l.Record(download(func(t *proxy.Transfer) { t.Path, t.Kind = "b", proxy.Listing }))
	closed(t, l)
	if got := paths(t, files.Transfers); got != "a b" {
		t.Errorf("transfers: %s", got)
	}
	if text, err := os.ReadFile(files.Xferlog); err != nil || strings.Count(string(text), "\n") != 1 {
		t.Errorf("xferlog: %q %v", text, err)
	}
	if got := l.Stats(); got != (Stats{Written: 2}) {
		t.Errorf("%+v", got)
	}
	for _, file := range files.names() {
		if info, err := os.Stat(file); err != nil || info.Mode() != 0o640 {
			t.Errorf("%v %v", info.Mode(), err)
		}
	}
}

func TestNoFiles(t *testing.T) {
	l, logs := opened(t, Files{})
	l.Record(named("a"))
	closed(t, l)
	if l.Stats() != (Stats{}) || logs.Len() > 0 {
		t.Errorf("%+v %s", l.Stats(), said(logs))
	}
}

func TestOpenFails(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(zap.NewNop(), Files{filepath.Join(dir, "none", "t"), dir})
	if err == nil || !strings.Contains(err.Error(), "audit.transfers: open "+dir+"/none/t: no such file or directory; its directory must exist") ||
		!strings.Contains(err.Error(), "audit.xferlog: open "+dir+": is a directory") {
		t.Error(err)
	}
}

// TestTornLine: what a crash has left does not spoil the first record.
func TestTornLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "t")
	if err := os.WriteFile(file, []byte(`{"time":"20`), 0o600); err != nil {
		t.Fatal(err)
	}
	l, _ := opened(t, Files{Transfers: file})
	l.Record(named("a"))
	l.Record(named("b"))
	closed(t, l)
	if got := paths(t, file); got != "? a b" {
		t.Error(got)
	}
}

// TestReopen: what was renamed keeps what it has, and no record is between two
// files; also by another name, and off.
func TestReopen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		file, other := filepath.Join(dir, "t"), filepath.Join(dir, "other")
		l, logs := opened(t, Files{Transfers: file})
		l.Record(named("a"))
		settled(t, l)
		if err := os.Rename(file, file+".1"); err != nil {
			t.Fatal(err)
		}
		l.Record(named("b"))
		settled(t, l)
		l.Reopen(Files{Transfers: file})
		settled(t, l)
		l.Record(named("c"))
		settled(t, l)
		l.Reopen(Files{Transfers: other})
		settled(t, l)
		l.Record(named("d"))
		settled(t, l)
		l.Reopen(Files{})
		settled(t, l)
		l.Record(named("e"))
		closed(t, l)
		if got := paths(t, file+".1") + " | " + paths(t, file) + " | " + paths(t, other); got != "a b | c | d" {
			t.Error(got)
		}
		if got := l.Stats(); got != (Stats{Written: 4}) || logs.Len() > 0 {
			t.Errorf("%+v %s", got, said(logs))
		}
	})
}

// settled waits until the goroutine has nothing to do.
func settled(t *testing.T, l *Log) {
	t.Helper()
	time.Sleep(10 * time.Millisecond) // of the bubble's clock
	synctest.Wait()
	if len(l.queue)+len(l.reopen) > 0 {
		t.Fatal("the goroutine does nothing")
	}
}

// TestReopenFails: the old file goes on until the new one can be opened.
func TestReopenFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		old, fresh, xferlog := filepath.Join(dir, "old"), filepath.Join(dir, "sub", "new"), filepath.Join(dir, "sub", "x")
		l, logs := opened(t, Files{Transfers: old})
		l.Reopen(Files{Transfers: fresh, Xferlog: xferlog})
		settled(t, l)
		if got := l.Stats().Error; !strings.Contains(got, "audit.transfers: open "+fresh) || !strings.Contains(got, "audit.xferlog: open "+xferlog) {
			t.Errorf("%q", got)
		}
		l.Record(named("a"))
		settled(t, l)
		if got := l.Stats(); got.Written != 0 || got.Lost != 1 {
			t.Errorf("%+v", got)
		}
		if err := os.Mkdir(filepath.Dir(fresh), 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(openAgain + 2*lookEvery)
		l.Record(named("b"))
		settled(t, l)
		time.Sleep(calm + lookEvery)
		if got := l.Stats(); got != (Stats{Written: 1, Lost: 1}) {
			t.Errorf("%+v", got)
		}
		closed(t, l)
		if got := paths(t, old) + " | " + paths(t, fresh); got != "a | b" {
			t.Error(got)
		}
		const want = `an audit file cannot be opened, it will be tried again
an audit file cannot be opened, it will be tried again
audit records are being lost, sessions go on
an audit file was opened at last
an audit file was opened at last
audit records are written again: 1`
		if got := said(logs); got != want {
			t.Errorf("it said:\n%s", got)
		}
	})
}

// TestFullDisk: the loss is counted, and said once.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "t")
		l, logs := opened(t, Files{Transfers: "/dev/full"})
		for range 5 {
			l.Record(named("a"))
		}
		settled(t, l)
		if got := l.Stats(); got != (Stats{Lost: 5, Error: "audit.transfers: write /dev/full: no space left on device"}) {
			t.Errorf("%+v", got)
		}
		l.Reopen(Files{Transfers: file})
		settled(t, l)
		l.Record(named("b"))
		time.Sleep(calm + lookEvery)
		if got := l.Stats(); got != (Stats{Written: 1, Lost: 5}) {
			t.Errorf("%+v", got)
		}
		closed(t, l)
		if got, want := said(logs), "audit records are being lost, sessions go on\naudit records are written again: 5"; got != want {
			t.Errorf("it said:\n%s", got)
		}
	})
}

// TestSlowDisk: what does not fit into the queue is lost and counted, and nobody
// waits. The disk is a pipe that is not read.
func TestSlowDisk(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(zap.NewNop(), Files{Transfers: file}); err == nil {
		t.Fatal("a pipe that nobody reads was opened")
	}
	reader, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	l, logs := opened(t, Files{Transfers: file})
	const handed = 2 * queued
	for range handed {
		l.Record(named("a"))
	}
	if got := l.Stats(); got.Lost == 0 || !strings.Contains(got.Error, "the disk does not keep up") {
		t.Errorf("%+v", got)
	}
	lines := bufio.NewScanner(reader)
	for range handed - l.lost.Load() {
		if !lines.Scan() || !strings.HasSuffix(lines.Text(), "}") {
			t.Fatal("a record is missing or torn")
		}
	}
	within(t, "the end of the losses", func() bool { return strings.Contains(said(logs), "find room again") })
	closed(t, l)
	got := l.Stats()
	if got.Written+got.Lost != handed || got.Error != "" {
		t.Errorf("%+v of %d", got, handed)
	}
	if want := fmt.Sprintf("audit records are being lost, sessions go on\naudit records find room again: %d", got.Lost); said(logs) != want {
		t.Errorf("it said:\n%s", said(logs))
	}
}

// TestBrokenPipe: what cannot be taken back, half a line in a pipe, does not spoil
// the next record.
func TestBrokenPipe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	read := func() *os.File {
		t.Helper()
		reader, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		return reader
	}
	reader := read()
	l, _ := opened(t, Files{Transfers: file})
	capacity, err := unix.FcntlInt(reader.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize())
	if err != nil {
		t.Fatal(err)
	}
	l.Record(named(strings.Repeat("x", 2*capacity)))
	within(t, "the first half", func() bool {
		waiting, err := unix.IoctlGetInt(int(reader.Fd()), unix.TIOCINQ)
		return err == nil && waiting == capacity
	})
	reader.Close()
	within(t, "the loss", func() bool { return l.Stats().Lost == 1 })
	reader = read()
	defer reader.Close()
	first := make([]byte, capacity)
	if _, err := io.ReadFull(reader, first); err != nil || strings.Contains(string(first), "\n") {
		t.Fatalf("%v: the pipe begins with %q", err, first)
	}
	l.Record(named("after"))
	lines := bufio.NewScanner(reader)
	if !lines.Scan() || lines.Text() != "" || !lines.Scan() || lines.Text()+"\n" != string(transferLine(new(named("after")))) {
		t.Errorf("the pipe goes on with %q", lines.Text())
	}
	closed(t, l)
}

// TestHangingDisk: the stop does not wait for ever, and says what is lost.
func TestHangingDisk(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	l, _ := opened(t, Files{Transfers: file})
	for range queued {
		l.Record(named("a"))
	}
	if err := l.Close(); err == nil || !strings.Contains(err.Error(), "the disk did not take") {
		t.Error(err)
	}
	go io.Copy(io.Discard, reader) // lets the goroutine end
	<-l.stopped
	reader.Close()
}

func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 15s", what)
		}
	}
}

// TestTry: the reader of a pipe must not notice that it was tried.
func TestTry(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := unix.Open(pipe, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(reader)
	if err := Try(pipe); err != nil {
		t.Error(err)
	}
	// POLLHUP stays away as long as nobody has written and gone.
	fds := []unix.PollFd{{Fd: int32(reader), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, 0); err != nil || fds[0].Revents != 0 {
		t.Errorf("the reader has an event, %#x, %v", fds[0].Revents, err)
	}
}
