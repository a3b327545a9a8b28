//go:build kernel

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
	"github.com/ftpgate/ftpgate/proxy/status"
)

// endpoint is where the daemon under test tells what it does.
const endpoint = "127.0.0.1:9121"

// look asks the status endpoint, from the router itself.
func (r *router) look(t *testing.T, path string) (code int, body string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, to string) (net.Conn, error) {
		return r.Host(lab.Router).Dial(ctx, mustAddrPort(t, to))
	}}
	client := http.Client{Transport: transport, Timeout: patience}
	answer, err := client.Get("http://" + endpoint + path)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// read asks for a value.
func read[T any](t *testing.T, r *router, path string) (value T) {
	t.Helper()
	code, body := r.look(t, path)
	if code != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, code, body)
	}
	if err := json.Unmarshal([]byte(body), &value); err != nil {
		t.Fatalf("GET %s: %v: %s", path, err, body)
	}
	return value
}

// metric is the value of a line of /metrics; "": there is none.
func (r *router) metric(t *testing.T, name string) string {
	t.Helper()
	_, body := r.look(t, "/metrics")
	for line := range strings.Lines(body) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// connectData opens a passive data connection.
func connectData(t *testing.T, c *dialogue.Client) net.Conn {
	t.Helper()
	agreed, err := c.Open(dialogue.PASV)
	if err != nil {
		t.Fatal(err)
	}
	data, err := agreed.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { data.Close() })
	return data
}

// TestStatusEndpoint: it tells what happens while it happens, of both legs, in
// JSON and numbers, from the start to the very end.
func TestStatusEndpoint(t *testing.T) {
	r := newRouter(t, lab.Options{})
	server := r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{})
	if err := server.WriteFile("big", random(64<<20)); err != nil {
		t.Fatal(err)
	}
	r.start(fmt.Sprintf(usualRules, "", ""))
	eventually(t, "readiness", func() bool { code, _ := r.look(t, "/readyz"); return code == http.StatusOK })
	s := read[status.StatusJSON](t, r, "/api/v1/status")
	if !s.Ready || s.Backend == "" || s.BackendWhy == "" || len(s.Rules) != 2 || len(s.Interfaces) != 2 || s.Interfaces[1].Name != "wan0" ||
		!s.Interfaces[1].Up || !strings.Contains(fmt.Sprint(s.Interfaces[1].Addresses), "203.0.113.1/24") || s.Ports.Size == 0 {
		t.Errorf("%+v", s)
	}

	c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
	data := connectData(t, c)
	if _, err := c.Want(1, "RETR big"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, data, 1<<20); err != nil {
		t.Fatal(err)
	}
	var one status.SessionJSON
	eventually(t, "the running transfer", func() bool {
		page := read[status.SessionsJSON](t, r, "/api/v1/sessions")
		if page.Total != 1 || len(page.Sessions) != 1 {
			t.Fatalf("%+v", page)
		}
		one = page.Sessions[0]
		return one.Transfer != nil && one.Transfer.Bytes >= 1<<20
	})
	if one.User != peers.User || !one.LoggedIn || one.Rule != "out" || one.Client != c.Local().String() || one.Dialled != "203.0.113.20:21" ||
		!strings.HasPrefix(one.SeenAs, "203.0.113.1:") || one.ClientInterface != "lan0" || one.Transfer.Path != "big" || one.Transfer.Mode != "passive" ||
		one.Transfer.Kind != "download" || one.Transfer.Result != "running" || one.Bytes < one.Transfer.Bytes {
		t.Errorf("%+v, %+v", one, one.Transfer)
	}
	if got := r.metric(t, "ftpgate_transfers_running"); got != "1" {
		t.Errorf("%s transfers run", got)
	}
	eventually(t, "the pinhole, used", func() bool { return r.metric(t, "ftpgate_pinholes_used_total") == "1" })
	for _, h := range read[status.PinholesJSON](t, r, "/api/v1/pinholes").Pinholes {
		if h.State != status.HoleUsed || h.Expires != 0 {
			t.Errorf("while its transfer runs: %+v", h)
		}
	}
	if s := read[status.StatusJSON](t, r, "/api/v1/status").Pinholes; s.Open != 0 || s.Used != 1 || r.metric(t, "ftpgate_pinholes_open") != "0" || one.Pinhole != "" {
		t.Errorf("%+v, and the session has %q", s, one.Pinhole)
	}
	if _, err := io.Copy(io.Discard, data); err != nil {
		t.Fatal(err)
	}
	data.Close()
	if _, err := c.Read(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the account of the transfer", func() bool {
		for _, done := range read[status.TransfersJSON](t, r, "/api/v1/transfers").Transfers {
			if done.Result == "done" && done.Path == "big" && done.Bytes >= 64<<20 && done.Cause == "" && strings.HasPrefix(done.Reply, "226 ") {
				return true
			}
		}
		return false
	})
	if done := r.metric(t, `ftpgate_transfers_total{kind="download",mode="passive",result="done",rule="out"}`); done != "1" {
		t.Errorf("%q transfers done", done)
	}

	if _, err := c.Want(229, "EPSV"); err != nil {
		t.Fatal(err)
	}
	holes := read[status.PinholesJSON](t, r, "/api/v1/pinholes").Pinholes
	if len(holes) == 0 || holes[0].State != status.HoleWaits || holes[0].Session != one.ID || holes[0].Interface != "lan0" || holes[0].Source != c.Local().Addr().String() || holes[0].Expires <= 0 {
		t.Errorf("%+v", holes)
	}
	if got := read[status.SessionsJSON](t, r, "/api/v1/sessions").Sessions[0].Pinhole; got == "" {
		t.Error("the session does not tell of its pinhole")
	}
	if history := read[status.HistoryJSON](t, r, "/api/v1/history"); len(history.Samples) == 0 {
		t.Error("no sample")
	}
	c.Close()
	r.stop()
	if code, _ := r.look(t, "/healthz"); code != 0 {
		t.Errorf("it answers %d after the stop", code)
	}
}

// TestReadiness: it is told while rules are missing that cannot be repaired, and
// during the stop, of which the endpoint sees the end.
func TestReadiness(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{})
	r.start(plain)
	eventually(t, "readiness", func() bool { code, _ := r.look(t, "/readyz"); return code == http.StatusOK })
	c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
	connectData(t, c)
	if _, err := c.Want(1, "STOR slow"); err != nil { // in the middle of a command, so that the stop takes its grace
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- r.daemon.Stop() }()
	eventually(t, "the stop, told", func() bool {
		code, body := r.look(t, "/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "it is stopping")
	})
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
}

// TestStatusReload: address, token and TLS change with a reload; one that
// cannot be had is refused with its key, counted and told, and the old one stays.
func TestStatusReload(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.start(plain)
	mark := len(r.records())
	r.write(plain + "status: {listen: \"192.0.2.9:9121\", token_file: /nowhere/token}\n")
	r.reload()
	eventually(t, "the refusal", func() bool {
		for _, rec := range r.log.since(mark) {
			if strings.Contains(rec.Message, "was not reloaded") && strings.Contains(rec.Why, "status.token_file") {
				return true
			}
		}
		return false
	})
	if s := read[status.StatusJSON](t, r, "/api/v1/status"); s.FailedReloads != 1 || !strings.Contains(s.ReloadError, "/nowhere/token") || s.Reloaded != nil {
		t.Errorf("%+v", s)
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a-token-of-sixteen-and-more\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.reloadWith(t, plain+"status: {token_file: "+token+"}\n")
	if code, _ := r.look(t, "/metrics"); code != http.StatusUnauthorized {
		t.Errorf("after a token was set: %d", code)
	}
	r.reloadWith(t, plain+"status: {listen: \"\"}\n")
	if code, _ := r.look(t, "/healthz"); code != 0 {
		t.Errorf("after it was turned off: %d", code)
	}
	r.reloadWith(t, plain)
	if s := read[status.StatusJSON](t, r, "/api/v1/status"); s.Reloads != 3 || s.FailedReloads != 1 || s.ReloadError != "" || s.Reloaded == nil {
		t.Errorf("%+v", s)
	}
	r.stop()
}

// TestStatusRefused: a daemon that could not be watched does not start, says why,
// and leaves nothing.
func TestStatusRefused(t *testing.T) {
	r := newRouter(t, lab.Options{})
	before := r.state()
	held, err := r.Host(lab.Router).Listen(t.Context(), mustAddrPort(t, endpoint))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	r.write(plain)
	out, err := r.Host(lab.Router).Run(t.Context(), gatewayBinary, "run", "--config", r.config)
	if err == nil || !strings.Contains(out, "status.listen: 127.0.0.1:9121: ") || !strings.Contains(out, "another program listens there") {
		t.Errorf("%v: %s", err, out)
	}
	if after := r.state(); after != before {
		t.Errorf("it left something:\n%s", after)
	}
}

// TestStatusCommand: the terminal shows what the endpoint tells, found by the
// configuration alone, through a socket, with a token and under TLS.
func TestStatusCommand(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{})
	dir := t.TempDir()
	token, socket := filepath.Join(dir, "token"), filepath.Join(dir, "status.sock")
	if err := os.WriteFile(token, []byte("a-token-of-sixteen-and-more\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start(plain)
	ask := func(code int, args ...string) string {
		t.Helper()
		cmd := r.Host(lab.Router).Command(t.Context(), gatewayBinary, append([]string{"status"}, args...)...)
		cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
		out, err := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Errorf("ftpgate status %v: exit code %d, not %d (%v): %s", args, got, code, err, out)
		}
		return string(out)
	}
	shows := func(text string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("no %q in:\n%s", w, text)
			}
		}
	}
	c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
	shows(ask(0, "--config", r.config), "ready", "backend ", "lan0 ", "203.0.113.1/24", "outbound", "1 of 1000")
	shows(ask(0, "sessions", "--config", r.config), "SESSION", c.Local().String(), "203.0.113.20:21", peers.User)
	shows(ask(0, "pinholes", "--config", r.config), "no pinhole waits")
	if _, err := c.Want(229, "EPSV"); err != nil {
		t.Fatal(err)
	}
	shows(ask(0, "pinholes", "--config", r.config), "CLOSES IN", c.Local().Addr().String())
	if _, err := c.Want(550, "RETR missing"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the failure, told", func() bool {
		return strings.Contains(ask(0, "transfers", "--failed", "--config", r.config), "server_refused")
	})
	shows(ask(0, "transfers", "--failed", "--config", r.config), "RETR missing", `The server answered "550`, "expected: SYN from")
	var v status.SessionsJSON
	if err := json.Unmarshal([]byte(ask(0, "sessions", "--json")), &v); err != nil || v.Total != 1 {
		t.Errorf("%v: %+v", err, v)
	}
	shows(ask(1, "--address", "127.0.0.1:9"), "nobody answers at 127.0.0.1:9", "is ftpgate running")
	shows(ask(2, "everything"), "everything")
	shows(ask(2, "--address", "nonsense"), "is no address")
	shows(ask(2, "--config", "/nowhere.yaml"), "/nowhere.yaml")
	shows(ask(2, "sessions", "--failed"), "belong to ftpgate status transfers")

	r.write(plain + "foo: 1\n") // an edit that went wrong is when one asks
	shows(ask(0, "--config", r.config), "foo: unknown key", "asking 127.0.0.1:9121 instead", ", ready")
	r.reloadWith(t, plain+"status: {token_file: "+token+"}\n")
	shows(ask(0, "--config", r.config), "ready")
	shows(ask(0, "--address", "http://127.0.0.1:9121", "--token-file", token), "ready")
	shows(ask(1, "--address", "http://127.0.0.1:9121"), "401", "token")
	cert, key := selfSigned(t, dir)
	r.reloadWith(t, plain+"status: {tls_certificate: "+cert+", tls_key: "+key+"}\n")
	shows(ask(0, "--config", r.config), "ready")
	shows(ask(1, "--address", "https://127.0.0.1:9121"), "certificate")
	r.reloadWith(t, plain+"status: {listen: \"unix:"+socket+"\"}\n")
	shows(ask(0, "--config", r.config), "ready")
	shows(ask(0, "sessions", "--address", "unix:"+socket), "203.0.113.20:21")
	r.reloadWith(t, plain+"status: {listen: \"\"}\n")
	shows(ask(1, "--config", r.config), "turns the endpoint off")
	r.stop()
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

// selfSigned makes a certificate as administrators do.
func selfSigned(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
		"-subj", "/CN=router", "-keyout", key, "-out", cert).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl: %v: %s", err, out)
	}
	return cert, key
}

// TestStatusWatch: --watch looks again, and outlives the daemon.
func TestStatusWatch(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.start(plain)
	watcher, err := r.Host(lab.Router).StartWith(lab.StartOptions{Env: []string{"GORACE=atexit_sleep_ms=0"}}, gatewayBinary, "status", "--watch", "--config", r.config)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "two looks", func() bool { return strings.Count(watcher.Output(), ", ready\n") >= 2 })
	r.stop()
	eventually(t, "the end, noticed", func() bool { return strings.Contains(watcher.Output(), "nobody answers at 127.0.0.1:9121") })
	if err := watcher.Stop(); err != nil {
		t.Errorf("interrupted: %v", err)
	}
}
