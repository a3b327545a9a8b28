//go:build kernel

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/cmd/ftpgate/doctor"
	"github.com/ftpgate/ftpgate/deploy/lab"
)

// nobody are the words that start a program as the user of that name, in the group root, as the unit of the packages
// starts the daemon as its own.
var nobody = []string{"setpriv", "--reuid=65534", "--regid=65534", "--groups=0", "--inh-caps=-all,+net_admin,+net_raw", "--ambient-caps=-all,+net_admin,+net_raw",
	"--bounding-set=-all,+net_admin,+net_raw"}

// TestFilesOfTheDaemonsUser: root asks, and gets the answer for the user that runs the daemon; the cure that is told
// is one. Who may not know says so.
func TestFilesOfTheDaemonsUser(t *testing.T) {
	r := newRouter(t, lab.Options{})
	dir, err := os.MkdirTemp("/tmp", "ftpgate-files-") // which everybody can pass, unlike the one of the test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary := filepath.Join(dir, "ftpgate")
	if out, err := exec.Command("cp", gatewayBinary, binary).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r.config = filepath.Join(dir, "ftpgate.yaml")
	token, log := filepath.Join(dir, "token"), filepath.Join(dir, "log", "transfers.json")
	settings := filepath.Join(dir, "run") // the daemon notes there what it changes of the host's
	for path, mode := range map[string]os.FileMode{dir: 0o755, settings: 0o777} {
		if err := errors.Join(os.MkdirAll(path, mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	write := func(config string) {
		t.Helper()
		r.write(config)
		if err := os.Chmod(r.config, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(as []string, verb string) (string, int) {
		t.Helper()
		cmd := r.Host(lab.Router).Command(t.Context(), "env", append(as, binary, verb, "--config", r.config)...)
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}

	write(plain + "status: {token_file: " + token + "}\n")
	if out, code := ask(nobody, "run"); code != exitFailed || !strings.Contains(out, r.config+":") || !strings.Contains(out, "make it: install -D") {
		t.Fatalf("run without its token: exit %d: %s", code, out)
	}

	write(plain)
	r.log = new(journal)
	daemon, err := r.Host(lab.Router).StartWith(lab.StartOptions{Output: r.log}, "unshare", "--mount", "sh", "-c",
		"mount -t tmpfs none /run && mkdir -m 777 /run/ftpgate && exec "+strings.Join(nobody, " ")+" "+binary+" run --config "+r.config)
	if err != nil {
		t.Fatal(err)
	}
	r.daemon = daemon
	r.await("\"ready\"")

	// Another one names the first.
	if out, code := ask(nil, "run"); code != exitFailed || !strings.Contains(out, fmt.Sprintf("another ftpgate runs in this network namespace (PID %d: kill", daemon.PID())) {
		t.Errorf("a second gateway: exit %d: %s", code, out)
	}

	if err := os.WriteFile(token, []byte("a-token-of-sixteen-and-more\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(token, 0o600); err != nil {
		t.Fatal(err)
	}
	write(plain + "status: {token_file: " + token + "}\naudit: {transfers: " + log + "}\n")
	out, code := ask(nil, "check")
	for _, want := range []string{"status.token_file: ", "user nobody, as which the gateway runs (PID ", "chgrp nogroup " + token + " && chmod g+r " + token,
		"audit.transfers: ", "install -d -m 0750 -o nobody"} {
		if code != exitUsage || !strings.Contains(out, want) {
			t.Errorf("check: exit %d: %s: no %q", code, out, want)
		}
	}
	if out, code := ask([]string{"setpriv", "--reuid=1", "--regid=1", "--clear-groups"}, "check"); code != exitUsage || strings.Contains(out, "chgrp") || !strings.Contains(out, "install -d") {
		t.Errorf("check by somebody else: exit %d: %s", code, out)
	}
	findings := found(r.doctored(t), "file", doctor.Fails)
	if len(findings) != 2 {
		t.Fatalf("doctor: %v", findings)
	}
	for _, f := range findings {
		cure := strings.TrimPrefix(f.Cure, "make it: ")
		if out, err := exec.Command("sh", "-c", cure).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", cure, err, out)
		}
	}
	if out, code := ask(nil, "check"); code != 0 {
		t.Errorf("check after the cures: exit %d: %s", code, out)
	}
	if out, code := ask([]string{"setpriv", "--reuid=1", "--regid=1", "--clear-groups"}, "check"); code != 0 || !strings.Contains(out, "warning: ") || !strings.Contains(out, "ask as root") {
		t.Errorf("check by somebody else after the cures: exit %d: %s", code, out)
	}
	r.reload()
	r.await("configuration reloaded")
	eventually(t, "the file of the audit", func() bool { _, err := os.Stat(log); return err == nil })
}
