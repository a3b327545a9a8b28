//go:build kernel

package peers_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// embeddedRoot, in the environment, makes this test program an embedded server of that directory.
const embeddedRoot = "FTPGATE_TEST_EMBEDDED_ROOT"

func TestMain(m *testing.M) {
	root := os.Getenv(embeddedRoot)
	if root == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := peers.ServeEmbedded(ctx, netip.MustParseAddrPort("[::]:21"), peers.EmbeddedOptions{
		Root: root, Ready: func() { fmt.Println("ready") },
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// TestEmbedded runs the embedded server as a process of its own, in every mode of both families.
func TestEmbedded(t *testing.T) {
	ctx, l := newLab(t)
	root := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	server := l.Host(lab.Server)
	process, err := server.StartWith(lab.StartOptions{Env: []string{embeddedRoot + "=" + root}}, self)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.WaitOutput(ctx, "ready"); err != nil {
		t.Fatal(err)
	}
	for _, six := range []bool{false, true} {
		address := netip.AddrPortFrom(server.IPv4(), 21)
		if six {
			address = netip.AddrPortFrom(server.IPv6(), 21)
		}
		for _, mode := range dialogue.Modes(six) {
			t.Run(fmt.Sprintf("%s/six=%v", mode, six), func(t *testing.T) {
				client, err := dialogue.Dial(ctx, l.Host(lab.Client), address, dialogue.Options{ByteWise: true})
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				if err := client.Login(peers.User, peers.Password); err != nil {
					t.Fatal(err)
				}
				checkEmbedded(t, client, mode, root)
				if t.Failed() {
					t.Log(strings.Join(client.Transcript(), "\n"))
				}
			})
		}
	}
	if err := process.Stop(); err != nil {
		t.Errorf("%v: %s", err, process.Output())
	}
}

func checkEmbedded(t *testing.T, client *dialogue.Client, mode dialogue.Mode, root string) {
	content := randomBytes(1_000_000)
	up, err := client.Store(mode, "file.bin", bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(root, "file.bin")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the server holds %d bytes, %v", len(got), err)
	}
	var got bytes.Buffer
	down, err := client.Retrieve(mode, "file.bin", &got)
	if err != nil || !bytes.Equal(got.Bytes(), content) || down.SHA256 != up.SHA256 {
		t.Errorf("downloaded %d bytes, %v", down.Bytes, err)
	}
	if mode.Active() && down.Remote.Port() != 20 {
		t.Errorf("the data came from %s", down.Remote)
	}
	if list, _, err := client.List(mode, "NLST"); err != nil || strings.TrimSpace(list) != "file.bin" {
		t.Errorf("list %q, %v", list, err)
	}
}
