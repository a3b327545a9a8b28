//go:build kernel

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// audited is a router whose gateway writes both files.
type audited struct {
	*router
	transfers, xferlog string
}

func newAudited(t *testing.T, dir string) *audited {
	return &audited{newRouter(t, lab.Options{}), filepath.Join(dir, "transfers.json"), filepath.Join(dir, "xferlog")}
}

func (a *audited) configuration() string {
	return plain + fmt.Sprintf("audit: {transfers: %q, xferlog: %q}\n", a.transfers, a.xferlog)
}

// account is a line of audit.transfers.
type account struct {
	Time                                        string
	Duration                                    float64 `json:"duration_seconds"`
	Rule, Direction, User, Client, Server, Verb string
	Path, Kind, Mode, Result, Reply, Cause      string
	PathBytes                                   []byte `json:"path_bytes"`
	Bytes                                       uint64
}

// accounts waits until a file has so many lines.
func accounts(t *testing.T, file string, count int) []account {
	t.Helper()
	var text []byte
	eventually(t, fmt.Sprintf("%d lines in %s", count, file), func() bool {
		text, _ = os.ReadFile(file)
		return bytes.Count(text, []byte("\n")) >= count
	})
	var all []account
	for line := range bytes.Lines(text) {
		var a account
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, a)
	}
	if len(all) != count {
		t.Fatalf("%s has %d lines instead of %d:\n%s", file, len(all), count, text)
	}
	return all
}

// TestAudit: every transfer, in both directions and modes, has its JSON object and,
// if it carried a file, its line in xferlog; also the one that the stop cuts.
func TestAudit(t *testing.T) {
	r := newAudited(t, t.TempDir())
	outside := r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{Passive: passiveRange})
	r.serve(peers.Vsftpd(), lab.Server, peers.ServerOptions{Passive: passiveRange})
	r.start(r.configuration())
	content := random(300_000)
	if err := outside.WriteFile("f", content); err != nil {
		t.Fatal(err)
	}
	out := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
	in := login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{})
	const odd = "with a space and \xe4"
	for _, do := range []func() error{
		func() error { _, err := out.Retrieve(dialogue.PASV, "f", io.Discard); return err },
		func() error { _, err := in.Store(dialogue.EPRT, odd, bytes.NewReader(content)); return err },
		func() error { _, _, err := out.List(dialogue.PORT, "LIST"); return err },
		func() error {
			if _, err := out.Retrieve(dialogue.EPSV, "missing", io.Discard); err == nil {
				t.Error("there is a file that is missing")
			}
			return nil
		},
		func() error { _, err := out.Want(425, "STOR g"); return err }, // not negotiated
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	cut, err := out.Open(dialogue.PASV)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := cut.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := out.Want(150, "STOR cut"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(content); err != nil {
		t.Fatal(err)
	}
	accounts(t, r.transfers, 5)
	r.stop()
	size := uint64(len(content))
	wanted := map[string]account{
		"RETR f":       {Rule: "out", Kind: "download", Mode: "passive", Result: "done", Bytes: size, Reply: "226"},
		"STOR " + odd:  {Rule: "in", Kind: "upload", Mode: "active", Result: "done", Bytes: size, Reply: "226"},
		"LIST ":        {Rule: "out", Kind: "listing", Mode: "active", Result: "done", Bytes: 60, Reply: "226"},
		"RETR missing": {Rule: "out", Kind: "download", Mode: "passive", Result: "failed", Cause: "server_refused", Reply: "550"},
		"STOR g":       {Rule: "out", Kind: "upload", Mode: "none", Result: "refused", Cause: "not_negotiated", Reply: "425"},
		"STOR cut":     {Rule: "out", Kind: "upload", Mode: "passive", Result: "left_running", Cause: "gateway_stopped", Bytes: size},
	}
	for _, got := range accounts(t, r.transfers, len(wanted)) {
		path := got.Path
		if got.PathBytes != nil {
			path = string(got.PathBytes)
		}
		want, ok := wanted[got.Verb+" "+path]
		if !ok {
			t.Errorf("%+v", got)
			continue
		}
		client, server, direction := "192.168.50.10:", "203.0.113.20:21", "outbound"
		if want.Rule == "in" {
			client, server, direction = "203.0.113.20:", "192.168.50.20:21", "inbound"
		}
		switch {
		case got.Rule != want.Rule, got.Kind != want.Kind, got.Mode != want.Mode, got.Result != want.Result, got.Cause != want.Cause,
			!strings.HasPrefix(got.Reply, want.Reply), got.User != peers.User, got.Direction != direction, got.Server != server,
			!strings.HasPrefix(got.Client, client), got.Time == "", got.Duration < 0,
			got.Kind != "listing" && !r.about(t, got.Bytes, want.Bytes, 0), want.Bytes > 0 && got.Bytes == 0:
			t.Errorf("\ngot  %+v\nwant %+v", got, want)
		}
	}
	r.readXferlog(t, size,
		`192\.168\.50\.10 SIZE f b _ o r lab ftp 0 \* c`,
		`203\.0\.113\.20 SIZE with_a_space_and_\xe4 b _ i r lab ftp 0 \* c`,
		`192\.168\.50\.10 0 missing b _ o r lab ftp 0 \* i`,
		`192\.168\.50\.10 SIZE cut b _ i r lab ftp 0 \* i`)
}

// readXferlog wants these lines, in any order and no others.
func (a *audited) readXferlog(t *testing.T, size uint64, lines ...string) {
	t.Helper()
	text, err := os.ReadFile(a.xferlog)
	if err != nil || bytes.Count(text, []byte("\n")) != len(lines) {
		t.Errorf("%d lines are wanted in %s, there is %v\n%s", len(lines), a.xferlog, err, text)
	}
	const date = `(?m)^[A-Z][a-z]{2} [A-Z][a-z]{2} [ 1-3]\d \d\d:\d\d:\d\d 20\d\d [1-9]\d* `
	for _, line := range lines {
		found := regexp.MustCompile(date + strings.Replace(line, "SIZE", `(\d+)`, 1) + "$").FindSubmatch(latin1(text))
		var got uint64
		if len(found) == 2 {
			fmt.Sscan(string(found[1]), &got)
		}
		if found == nil || len(found) == 2 && !a.about(t, got, size, 0) {
			t.Errorf("no line is %s, with %d bytes, in\n%s", line, size, text)
		}
	}
}

// latin1 makes characters of bytes, for regexp.
func latin1(text []byte) []byte {
	runes := make([]rune, len(text))
	for i, b := range text {
		runes[i] = rune(b)
	}
	return []byte(string(runes))
}

// TestAuditReopened: who renames the files and sends SIGHUP gets new ones, also if
// the configuration has become a bad one; other names take effect, and a name that
// cannot be opened leaves the old file in use until it can.
func TestAuditReopened(t *testing.T) {
	r := newAudited(t, t.TempDir())
	server := r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{Passive: passiveRange})
	if err := server.WriteFile("f", random(10_000)); err != nil {
		t.Fatal(err)
	}
	r.start(r.configuration())
	c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
	fetch := func(file string, lines int) {
		t.Helper()
		if _, err := c.Retrieve(dialogue.EPSV, "f", io.Discard); err != nil {
			t.Fatal(err)
		}
		accounts(t, file, lines)
	}
	rotate := func(to string) {
		t.Helper()
		for _, file := range []string{r.transfers, r.xferlog} {
			if err := os.Rename(file, file+to); err != nil {
				t.Fatal(err)
			}
		}
	}
	there := func() bool {
		_, err := os.Stat(r.transfers)
		_, also := os.Stat(r.xferlog)
		return err == nil && also == nil
	}
	fetch(r.transfers, 1)
	rotate(".1")
	fetch(r.transfers+".1", 2)
	r.reload()
	eventually(t, "new files", there)
	fetch(r.transfers, 1)
	rotate(".2")
	r.write("rules: [")
	r.reload()
	eventually(t, "new files in spite of a bad configuration", there)
	fetch(r.transfers, 1)

	last := r.transfers
	r.transfers = filepath.Join(filepath.Dir(last), "sub", "t")
	r.write(r.configuration())
	r.reload()
	r.await("an audit file cannot be opened")
	fetch(last, 2)
	if err := os.Mkdir(filepath.Dir(r.transfers), 0o700); err != nil {
		t.Fatal(err)
	}
	r.await("an audit file was opened at last")
	fetch(r.transfers, 1)
	accounts(t, last, 2)
	r.reloadWith(t, plain)
	eventually(t, "the end of the audit", func() bool { return !strings.Contains(r.openFiles(), "/sub/t") })
	if _, err := c.Retrieve(dialogue.EPSV, "f", io.Discard); err != nil {
		t.Fatal(err)
	}
	r.quit(t, c)
	r.stop()
	accounts(t, r.transfers, 1)
}

// openFiles are those of the daemon.
func (r *router) openFiles() string {
	return r.run("sh", "-c", "ls -l /proc/$1/fd", "sh", fmt.Sprint(r.daemon.PID()))
}

// TestAuditFullDisk: transfers go on, what is lost is counted and said once.
func TestAuditFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprint("size=", 4*os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	r := newAudited(t, dir)
	server := r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{Passive: passiveRange})
	r.start(r.configuration())
	c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
	roundTrip(t, c, dialogue.PORT, server)
	written := len(accounts(t, r.transfers, 3))
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk is not full, so this test shows nothing")
	}
	const lost, again = "audit records are being lost", "audit records are written again"
	for range 10 {
		roundTrip(t, c, dialogue.PASV, server)
	}
	r.await(lost)
	eventually(t, "the last records before the disk was full", func() bool {
		info, err := os.Stat(r.transfers)
		return err == nil && info.Size() > int64(os.Getpagesize())-500
	})
	if got := r.run("curl", "-sSf", "http://127.0.0.1:9121/api/v1/status"); !regexp.MustCompile(`"audit":\{"written":\d+,"lost":[1-9]\d*,"error":"audit.transfers: write [^"]*: no space left on device`).MatchString(got) {
		t.Errorf("the status endpoint says %s", got)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c, dialogue.EPSV, server)
	r.await(again)
	r.quit(t, c)
	r.stop()
	said := r.daemon.Output()
	var counted int
	for line := range strings.Lines(said) {
		var entry struct {
			Message, File string
			Lost          int
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Message == again && entry.File == r.transfers {
			counted = entry.Lost
		}
	}
	text, err := os.ReadFile(r.transfers)
	if err != nil {
		t.Fatal(err)
	}
	all := accounts(t, r.transfers, bytes.Count(text, []byte("\n"))) // each line is whole
	if handed := 3 * 12; counted == 0 || len(all)+counted != handed || len(all) < written+3 {
		t.Errorf("%d records are there and %d are said to be lost, of %d", len(all), counted, handed)
	}
	if n := strings.Count(said, lost); n > 2 { // once for each file
		t.Errorf("it is said %d times that records are lost", n)
	}
}

// TestAuditStart: a file that cannot be opened stops the start, before anything
// of the host has changed.
func TestAuditStart(t *testing.T) {
	r := newAudited(t, filepath.Join(t.TempDir(), "none"))
	before := r.state()
	r.write(r.configuration())
	out, err := r.Host(lab.Router).Run(t.Context(), gatewayBinary, "run", "--config", r.config)
	for _, want := range []string{"exit status 1", "audit.transfers: \"" + r.transfers, "audit.xferlog: \"" + r.xferlog, "no such file", "make it: install -d"} {
		if err == nil || !strings.Contains(err.Error()+out, want) {
			t.Errorf("%q is not in %v %s", want, err, out)
		}
	}
	if now := r.state(); now != before {
		t.Errorf("traces are left:\n%s", difference(before, now))
	}
}
