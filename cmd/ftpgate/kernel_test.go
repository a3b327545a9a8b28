//go:build kernel

package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// patience bounds every wait of these tests for something that should happen
// at once, on a machine that is busy.
const patience = 45 * time.Second

// gatewayBinary is the daemon under test, built once with the race detector.
var gatewayBinary string

func TestMain(m *testing.M) {
	if root := os.Getenv(serveDirectory); root != "" {
		serveOnly(root)
	}
	dir, err := os.MkdirTemp("", "ftpgate-test-")
	if err == nil {
		gatewayBinary = filepath.Join(dir, "ftpgate")
		var out []byte
		out, err = exec.Command("go", "build", "-race", "-o", gatewayBinary, ".").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("building the daemon: %w\n%s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// router is a lab with a gateway in it.
type router struct {
	*lab.Lab
	t      *testing.T
	config string
	binary string   // that doctor is; "": gatewayBinary
	env    []string // of the gateway, beside the caller's
	daemon *lab.Process
	log    *journal // of the daemon
}

// newRouter builds a lab; its gateway is not started yet.
func newRouter(t *testing.T, o lab.Options) *router {
	t.Helper()
	l, err := lab.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return &router{Lab: l, t: t, config: filepath.Join(t.TempDir(), "ftpgate.yaml")}
}

// The usual rules: LAN clients out, the LAN server published in both families.
// %s may restrict them.
const usualRules = `
interfaces: {lan: [lan0], wan: [wan0]}
log: {level: debug}
rules:
  - {name: out, direction: outbound%s}
  - {name: in, direction: inbound, server: ["192.168.50.20:21", "[2001:db8:50::20]:21"]%s}
`

// in is the same router for a subtest.
func (r *router) in(t *testing.T) *router {
	return &router{Lab: r.Lab, t: t, config: r.config, daemon: r.daemon, log: r.log}
}

// start writes the configuration and starts the gateway.
func (r *router) start(config string) {
	r.t.Helper()
	r.write(config)
	// The race detector would sleep for a second at each exit.
	log := new(journal)
	wishes := lab.StartOptions{Env: append([]string{"GORACE=atexit_sleep_ms=0"}, r.env...), Output: log}
	daemon, err := r.Host(lab.Router).StartWith(wishes, gatewayBinary, "run", "--config", r.config)
	if err != nil {
		r.t.Fatal(err)
	}
	r.daemon, r.log = daemon, log
	r.t.Cleanup(func() {
		if strings.Contains(daemon.Output(), "DATA RACE") {
			r.t.Error("the daemon has a data race")
		}
		if r.t.Failed() {
			r.t.Logf("the gateway said:\n%s", daemon.Output())
		}
	})
	r.await("\"ready\"")
}

func (r *router) write(config string) {
	r.t.Helper()
	if err := os.WriteFile(r.config, []byte(onBackend(config)), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// await waits for a text in the gateway's log.
func (r *router) await(text string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	if err := r.daemon.WaitOutput(ctx, text); err != nil {
		r.t.Fatalf("waiting for %s in the log: %v", text, err)
	}
}

// stop ends the gateway as systemd does and expects success.
func (r *router) stop() {
	r.t.Helper()
	if err := r.daemon.Stop(); err != nil {
		r.t.Fatalf("stopping the gateway: %v", err)
	}
}

func (r *router) reload() {
	r.t.Helper()
	if err := r.daemon.Signal(syscall.SIGHUP); err != nil {
		r.t.Fatal(err)
	}
}

// run executes a command on the router.
func (r *router) run(name string, args ...string) string {
	r.t.Helper()
	out, err := r.Host(lab.Router).Run(r.t.Context(), name, args...)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *router) state() string {
	r.t.Helper()
	state, err := r.State(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return state
}

// serve starts an FTP server on a host until the test ends.
func (r *router) serve(kind peers.ServerKind, host string, o peers.ServerOptions) *peers.Server {
	r.t.Helper()
	s, err := kind.Start(r.t.Context(), r.Host(host), o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if r.t.Failed() {
			r.t.Logf("%s said:\n%s", kind.Name, s.Log())
		}
		s.Stop()
	})
	return s
}

// eventually repeats a check until it holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// random is a file's content; the same length never gives the same bytes.
func random(size int) []byte {
	b := make([]byte, size)
	source := rand.NewChaCha8([32]byte{byte(rand.Int()), byte(rand.Int()), byte(rand.Int())})
	source.Read(b)
	return b
}

// login dials a server through the gateway and logs in.
func login(t *testing.T, from *lab.Host, target string, o dialogue.Options) *dialogue.Client {
	t.Helper()
	c, err := dialogue.Dial(t.Context(), from, mustAddrPort(t, target), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Login(peers.User, peers.Password); err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(c.Transcript(), "\n"))
	}
	if _, err := c.Want(200, "TYPE I"); err != nil {
		t.Fatal(err)
	}
	return c
}

// roundTrip uploads, lists and downloads, and compares.
func roundTrip(t *testing.T, c *dialogue.Client, mode dialogue.Mode, s *peers.Server) {
	t.Helper()
	fail := func(doing string, err error) {
		t.Helper()
		t.Fatalf("%s: %v\n%s", doing, err, strings.Join(c.Transcript(), "\n"))
	}
	name, content := fmt.Sprintf("f%d.bin", rand.Uint32()), random(200_000)
	if _, err := c.Store(mode, name, bytes.NewReader(content)); err != nil {
		fail("upload", err)
	}
	if got, err := s.ReadFile(name); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("the server has %d bytes of %d, %v", len(got), len(content), err)
	}
	if text, _, err := c.List(mode, "LIST"); err != nil || !strings.Contains(text, name) {
		fail("listing "+text, err)
	}
	var got bytes.Buffer
	if _, err := c.Retrieve(mode, name, &got); err != nil {
		fail("download", err)
	}
	if !bytes.Equal(got.Bytes(), content) {
		t.Fatalf("downloaded %d bytes of %d or other ones", got.Len(), len(content))
	}
}
