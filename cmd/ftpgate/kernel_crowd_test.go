//go:build kernel

package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// crowdTime bounds the tests with many sessions or files.
const crowdTime = 90 * time.Second

// idleNow waits until the gateway holds nothing for any data connection: no rule
// of a pinhole, no public port.
func (r *router) idleNow(files int) {
	r.t.Helper()
	var rules string
	var held int
	begin := time.Now()
	for rules, held = r.remains(), r.files(); rules != "" || held > files; rules, held = r.remains(), r.files() {
		if time.Since(begin) > patience {
			r.t.Fatalf("%s after the last session there are %d open files instead of %d, and the rules\n%s", patience, held, files, rules)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// files is how many files the gateway has open. Each lent port is one.
func (r *router) files() int {
	r.t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.daemon.PID()))
	if err != nil {
		r.t.Fatal(err)
	}
	return len(all)
}

// TestFiftySessions: at the same time, in both directions, in all modes, over
// both families; they do not get in each other's way, and leave nothing.
func TestFiftySessions(t *testing.T) {
	eachVariant(t, lab.Options{}, func(t *testing.T, r *router) {
		const sessions = 50
		outside := r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{Passive: passiveRange})
		inside := r.serve(peers.ProFTPD(), lab.Server, peers.ServerOptions{Passive: passiveRange})
		r.start(plain)
		before := r.files()
		ways := usualWays(outside, inside)
		var wg sync.WaitGroup
		for i := range sessions {
			wg.Go(func() {
				w := ways[i%len(ways)]
				modes := w.modes()
				if err := r.crowded(w, fmt.Sprintf("s%d.bin", i), modes[i/len(ways)%len(modes)]); err != nil {
					t.Errorf("session %d, %s: %v", i, w.name, err)
				}
			})
		}
		wg.Wait()
		eventually(t, "the end of all sessions", func() bool { return len(of(r.records(), finished)) == sessions })
		for _, rec := range of(r.records(), finished) {
			if rec.Transfers != crowdedTransfers || rec.Failed != 0 || rec.Bytes < crowdedBytes*98/100 || rec.Bytes > crowdedBytes*11/10 || rec.User != peers.User {
				t.Errorf("a session's end: %+v", rec)
			}
		}
		r.idleNow(before)
		r.stop()
	})
}

// What each of the sessions carries. With so many at a time, segments are lost
// and sent again, and the router counts them twice.
const (
	crowdedFile      = 300_000
	crowdedTransfers = 4
	crowdedBytes     = crowdedTransfers * crowdedFile
)

// crowded is one session of many: two uploads, two downloads.
func (r *router) crowded(w way, name string, mode dialogue.Mode) error {
	server, err := netip.ParseAddrPort(w.dials)
	if err != nil {
		return err
	}
	c, err := dialogue.Dial(r.t.Context(), r.Host(w.from), server, dialogue.Options{Timeout: crowdTime})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Login(peers.User, peers.Password); err != nil {
		return err
	}
	if _, err := c.Want(200, "TYPE I"); err != nil {
		return err
	}
	for range crowdedTransfers / 2 {
		content := random(crowdedFile)
		if _, err := c.Store(mode, name, bytes.NewReader(content)); err != nil {
			return err
		}
		var got bytes.Buffer
		if _, err := c.Retrieve(mode, name, &got); err != nil {
			return err
		}
		if !bytes.Equal(got.Bytes(), content) {
			return fmt.Errorf("%d bytes of %d came back, or others", got.Len(), len(content))
		}
	}
	return leave(c)
}

// TestManySmallFiles: fifty files in one session of each client, down and up.
func TestManySmallFiles(t *testing.T) {
	r := newRouter(t, lab.Options{})
	outside := r.serve(peers.PureFTPd(), lab.Outside, peers.ServerOptions{Passive: passiveRange})
	r.start(plain)
	before := r.files()
	for _, kind := range peers.ClientKinds() {
		for _, mode := range []dialogue.Mode{dialogue.PORT, dialogue.PASV} {
			t.Run(fmt.Sprintf("%s, %s", kind.Name, mode), func(t *testing.T) {
				target := peers.Target{From: r.Host(lab.Client), Server: outside.Address(false), Mode: mode, Timeout: crowdTime}
				v := &visit{
					t: t, r: r.in(t), kind: kind, dir: t.TempDir(), target: target,
					lane: &lane{server: outside, from: target.From, dials: target.Server, client: target.From.IPv4()},
				}
				v.several(fmt.Sprintf("%s-%s", kind.Name, mode), 50)
			})
		}
	}
	r.idleNow(before)
	r.stop()
}

// TestMirror: a tree of 300 files, fetched and brought by lftp in three sessions
// at a time.
func TestMirror(t *testing.T) {
	eachVariant(t, lab.Options{}, func(t *testing.T, r *router) {
		const count = 300
		outside := r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{Passive: passiveRange})
		for i := range count {
			if err := outside.WriteFile(fmt.Sprintf("tree/%d/%d.txt", i%10, i), fmt.Appendf(nil, "file %d\n", i)); err != nil {
				t.Fatal(err)
			}
		}
		r.start(plain)
		before := r.files()
		local := t.TempDir()
		r.lftp(t, fmt.Sprintf("set ftp:passive-mode no; open -u %s,%s ftp://203.0.113.20; mirror --parallel=3 tree %s/tree", peers.User, peers.Password, local))
		r.lftp(t, fmt.Sprintf("open -u %s,%s ftp://203.0.113.20; mirror -R --parallel=3 %s/tree back", peers.User, peers.Password, local))
		for i := range count {
			name, want := fmt.Sprintf("%d/%d.txt", i%10, i), fmt.Sprintf("file %d\n", i)
			if got, err := os.ReadFile(filepath.Join(local, "tree", name)); err != nil || string(got) != want {
				t.Errorf("fetched %s: %q, %v", name, got, err)
			}
			if got, err := outside.ReadFile("back/" + name); err != nil || string(got) != want {
				t.Errorf("brought %s: %q, %v", name, got, err)
			}
		}
		r.idleNow(before)
		if failed := of(r.records(), refuses); len(failed) > 0 {
			t.Errorf("the gateway refused: %+v", failed)
		}
		r.stop()
	})
}

// lftp runs a script of lftp on the client.
func (r *router) lftp(t *testing.T, script string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), crowdTime)
	defer cancel()
	settings := "set cmd:fail-exit yes; set net:max-retries 1; set net:timeout 10; set ftp:ssl-allow no; "
	cmd := r.Host(lab.Client).Command(ctx, "lftp", "--norc", "-c", settings+script)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("lftp: %v\n%s", err, strings.TrimSpace(string(out)))
	}
}
