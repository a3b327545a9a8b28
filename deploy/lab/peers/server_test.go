//go:build kernel

package peers_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// testTimeout bounds each test of this package.
const testTimeout = 3 * time.Minute

func newLab(t *testing.T) (context.Context, *lab.Lab) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	l, err := lab.New(ctx, lab.Options{Name: "peerstest"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return ctx, l
}

func startServer(ctx context.Context, t *testing.T, kind peers.ServerKind, host *lab.Host, o peers.ServerOptions) *peers.Server {
	t.Helper()
	start := time.Now()
	server, err := kind.Start(ctx, host, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s listens after %v", kind.Name, time.Since(start).Round(time.Millisecond))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of %s:\n%s", kind.Name, server.Log())
		}
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func login(ctx context.Context, t *testing.T, host *lab.Host, server *peers.Server, six bool) *dialogue.Client {
	t.Helper()
	client, err := dialogue.Dial(ctx, host, server.Address(six), dialogue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("dialogue:\n%s", strings.Join(client.Transcript(), "\n"))
		}
		client.Close()
	})
	if err := client.Login(peers.User, peers.Password); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Want(200, "TYPE I"); err != nil {
		t.Fatal(err)
	}
	return client
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// TestServers runs every server through what FTP knows, in every mode of both families, within one segment.
func TestServers(t *testing.T) {
	for _, kind := range peers.ServerKinds() {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			ctx, l := newLab(t) // its own: Pure-FTPd takes another port where one before it has used port 20
			server := startServer(ctx, t, kind, l.Host(lab.Server), peers.ServerOptions{})
			for _, six := range []bool{false, true} {
				for _, mode := range dialogue.Modes(six) {
					t.Run(fmt.Sprintf("%s/six=%v", mode, six), func(t *testing.T) {
						checkTransfers(t, login(ctx, t, l.Host(lab.Client), server, six), server, mode)
					})
				}
			}
		})
	}
}

// checkTransfers uploads, lists, downloads, resumes, renames and deletes.
func checkTransfers(t *testing.T, client *dialogue.Client, server *peers.Server, mode dialogue.Mode) {
	content := randomBytes(300_000)
	up, err := client.Store(mode, "up.bin", bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if up.Bytes != int64(len(content)) || up.SHA256 != sum(content) {
		t.Errorf("uploaded %d bytes, %s", up.Bytes, up.SHA256)
	}
	if got, err := server.ReadFile("up.bin"); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the server holds %d bytes, %v", len(got), err)
	}
	if list, _, err := client.List(mode, "LIST"); err != nil || !strings.Contains(list, "up.bin") {
		t.Errorf("list %q, %v", list, err)
	}
	var got bytes.Buffer
	down, err := client.Retrieve(mode, "up.bin", &got)
	if err != nil || down.SHA256 != up.SHA256 || !bytes.Equal(got.Bytes(), content) {
		t.Errorf("downloaded %d bytes, %v", down.Bytes, err)
	}
	if mode.Active() {
		wantPort := uint16(0)
		if server.Kind.DataPort20 {
			wantPort = 20
		}
		if down.Remote.Addr() != client.Server().Addr() || wantPort != 0 && down.Remote.Port() != wantPort {
			t.Errorf("the data came from %s", down.Remote)
		}
	}
	if _, err := client.Want(350, "REST 100000"); err != nil {
		t.Error(err)
	}
	rest, err := client.Retrieve(mode, "up.bin", &got)
	if err != nil || rest.SHA256 != sum(content[100000:]) {
		t.Errorf("from byte 100000: %d bytes, %v", rest.Bytes, err)
	}
	for _, step := range []struct {
		code int
		line string
	}{{350, "RNFR up.bin"}, {250, "RNTO new name.bin"}, {213, "SIZE new name.bin"}, {250, "DELE new name.bin"}} {
		if _, err := client.Want(step.code, step.line); err != nil {
			t.Error(err)
		}
	}
}

// TestAbort cuts a download in its middle and goes on with the same session.
func TestAbort(t *testing.T) {
	ctx, l := newLab(t)
	for _, kind := range peers.ServerKinds() {
		t.Run(kind.Name, func(t *testing.T) {
			server := startServer(ctx, t, kind, l.Host(lab.Server), peers.ServerOptions{})
			content := randomBytes(20_000_000)
			if err := server.WriteFile("large.bin", content); err != nil {
				t.Fatal(err)
			}
			client := login(ctx, t, l.Host(lab.Client), server, false)
			data, err := client.Open(dialogue.EPSV)
			if err != nil {
				t.Fatal(err)
			}
			if err := client.Send("RETR large.bin"); err != nil {
				t.Fatal(err)
			}
			conn, err := data.Connect()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.Read(); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Read(make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			if err := client.Abort(); err != nil {
				t.Fatal(err)
			}
			conn.Close()
			for {
				reply, err := client.ReadWithin(time.Second)
				if err != nil {
					break
				}
				t.Logf("after ABOR: %s", reply)
			}
			if _, err := client.Want(200, "NOOP"); err != nil {
				t.Fatal(err)
			}
			checkTransfers(t, client, server, dialogue.PASV)
		})
	}
}

// TestServerOptions shows the announced address, the port range, another control port and any data port.
func TestServerOptions(t *testing.T) {
	ctx, l := newLab(t)
	private := netip.MustParseAddr("10.1.2.3")
	for _, kind := range peers.ServerKinds() {
		t.Run(kind.Name, func(t *testing.T) {
			server := startServer(ctx, t, kind, l.Host(lab.Outside), peers.ServerOptions{
				Port: 2121, Passive: peers.PortRange{First: 40000, Last: 40100}, Announce: private, AnyDataPort: true,
			})
			client := login(ctx, t, l.Host(lab.Third), server, false)
			data, err := client.Open(dialogue.PASV)
			if err != nil {
				t.Fatal(err)
			}
			if p := data.Announced; p.Addr() != private || p.Port() < 40000 || p.Port() > 40100 {
				t.Errorf("announced %s", p)
			}
			if _, transfer, err := client.List(dialogue.PORT, "LIST"); err != nil {
				t.Error(err)
			} else {
				t.Logf("data from %s", transfer.Remote)
			}
			six := login(ctx, t, l.Host(lab.Third), server, true)
			if data, err = six.Open(dialogue.EPSV); err != nil {
				t.Fatal(err)
			}
			if p := data.Announced; p.Port() < 40000 || p.Port() > 40100 {
				t.Errorf("announced %s", p)
			}
		})
	}
}

// TestReadOnly shows that a server which may not write refuses.
func TestReadOnly(t *testing.T) {
	ctx, l := newLab(t)
	for _, kind := range peers.ServerKinds() {
		t.Run(kind.Name, func(t *testing.T) {
			server := startServer(ctx, t, kind, l.Host(lab.Outside), peers.ServerOptions{ReadOnly: true})
			client := login(ctx, t, l.Host(lab.Third), server, false)
			if transfer, err := client.Store(dialogue.PASV, "new", strings.NewReader("x")); err == nil {
				t.Errorf("it took the file: %v", transfer.Ended)
			}
		})
	}
}
