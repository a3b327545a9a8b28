//go:build kernel

package peers_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// TestClients runs every client against every server, in every mode that the client can be made to use, within one
// segment.
func TestClients(t *testing.T) {
	for _, serverKind := range peers.ServerKinds() {
		t.Run(serverKind.Name, func(t *testing.T) {
			t.Parallel()
			ctx, l := newLab(t)
			server := startServer(ctx, t, serverKind, l.Host(lab.Server), peers.ServerOptions{})
			for _, client := range peers.ClientKinds() {
				for _, six := range []bool{false, true} {
					for _, mode := range client.Modes(six) {
						t.Run(fmt.Sprintf("%s/%s/six=%v", client.Name, mode, six), func(t *testing.T) {
							start := time.Now()
							checkClient(ctx, t, client, server, peers.Target{
								From: l.Host(lab.Client), Server: server.Address(six), Mode: mode,
							})
							t.Logf("took %v", time.Since(start).Round(time.Millisecond))
						})
					}
				}
			}
		})
	}
}

// checkClient uploads, lists, downloads, resumes and downloads several files.
func checkClient(ctx context.Context, t *testing.T, client peers.ClientKind, server *peers.Server, target peers.Target) {
	local := t.TempDir()
	content := randomBytes(200_000)
	source := filepath.Join(local, "source.bin")
	if err := os.WriteFile(source, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := server.WriteFile("files/present", []byte("x")); err != nil {
		t.Fatal(err)
	}
	name := "files/" + client.Name + ".bin"
	output, err := client.Put(ctx, target, peers.File{Remote: name, Local: source})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := server.ReadFile(name); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the server holds %d bytes, %v", len(got), err)
	}
	if !strings.Contains(output, string(target.Mode)) {
		t.Errorf("the client has not used %s:\n%s", target.Mode, output)
	}
	if output, err := client.List(ctx, target, "files"); err != nil || !strings.Contains(output, client.Name+".bin") {
		t.Errorf("list %q, %v", output, err)
	}
	copied := filepath.Join(local, client.Name+".bin")
	if _, err := client.Get(ctx, target, peers.File{Remote: name, Local: copied}); err != nil {
		t.Fatal(err)
	}
	checkFile(t, copied, content)
	if err := os.Truncate(copied, 70_000); err != nil {
		t.Fatal(err)
	}
	if output, err = client.Resume(ctx, target, peers.File{Remote: name, Local: copied}); err != nil {
		t.Fatal(err)
	}
	checkFile(t, copied, content)
	if !strings.Contains(output, "REST 70000") {
		t.Errorf("it has not resumed:\n%s", output)
	}
	checkMany(ctx, t, client, server, target)
}

// checkMany downloads and uploads several files in one session.
func checkMany(ctx context.Context, t *testing.T, client peers.ClientKind, server *peers.Server, target peers.Target) {
	const count = 5
	local := t.TempDir()
	var down, up []peers.File
	for i := range count {
		name := fmt.Sprintf("many/%d.txt", i)
		if err := server.WriteFile(name, []byte(name)); err != nil {
			t.Fatal(err)
		}
		down = append(down, peers.File{Remote: name, Local: filepath.Join(local, filepath.Base(name))})
		up = append(up, peers.File{Remote: "files/" + filepath.Base(name), Local: filepath.Join(local, filepath.Base(name))})
	}
	if _, err := client.Get(ctx, target, down...); err != nil {
		t.Fatal(err)
	}
	for _, f := range down {
		checkFile(t, f.Local, []byte(f.Remote))
	}
	if _, err := client.Put(ctx, target, up...); err != nil {
		t.Fatal(err)
	}
	for i, f := range up {
		if got, err := server.ReadFile(f.Remote); err != nil || string(got) != down[i].Remote {
			t.Errorf("%s at the server: %q, %v", f.Remote, got, err)
		}
	}
}

func checkFile(t *testing.T, path string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, want %d: %v", path, len(got), len(want), err)
	}
}

// TestClientFailure shows that a client which cannot do its work says so.
func TestClientFailure(t *testing.T) {
	ctx, l := newLab(t)
	server := startServer(ctx, t, peers.Pyftpdlib(), l.Host(lab.Server), peers.ServerOptions{})
	for _, client := range peers.ClientKinds() {
		target := peers.Target{From: l.Host(lab.Client), Server: server.Address(false), Mode: client.Modes(false)[0]}
		file := peers.File{Remote: "missing", Local: filepath.Join(t.TempDir(), "missing")}
		if output, err := client.Get(ctx, target, file); err == nil {
			t.Errorf("%s got a file that is not there:\n%s", client.Name, output)
		}
		target.Mode = "FTP"
		if _, err := client.Get(ctx, target, file); err == nil {
			t.Errorf("%s took an unknown mode", client.Name)
		}
	}
}
