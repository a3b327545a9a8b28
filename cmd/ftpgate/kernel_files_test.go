//go:build kernel

package main

import (
	"encoding/json"
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

// forEverybody moves the configuration to a directory that every user can pass, unlike that of a test, and copies the
// program there.
func (r *router) forEverybody(t *testing.T) (dir, binary string) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "ftpgate-everybody-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r.config, binary = filepath.Join(dir, "ftpgate.yaml"), filepath.Join(dir, "ftpgate")
	out, err := exec.Command("cp", gatewayBinary, binary).CombinedOutput()
	if err := errors.Join(err, os.Chmod(dir, 0o755)); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir, binary
}

// TestDoctorOfOthers: who may not look is told so, and nothing is found for want of it; a user that could run the gateway
// but for the group root is told of that group.
func TestDoctorOfOthers(t *testing.T) {
	r := newRouter(t, lab.Options{})
	_, binary := r.forEverybody(t)
	if err := os.WriteFile(r.config, []byte(plain), 0o644); err != nil {
		t.Fatal(err)
	}
	ask := func(setpriv ...string) (report doctor.Report, text string) {
		t.Helper()
		out, _ := r.Host(lab.Router).Command(t.Context(), "setpriv", append(setpriv, binary, "doctor", "--json", "--config", r.config)...).Output()
		if err := json.Unmarshal(out, &report); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return report, summary(report)
	}
	report, text := ask("--reuid=65534", "--regid=65534", "--clear-groups")
	if report.Fails || strings.Contains(text, "apt-get") || !strings.Contains(text, "packet filter: for want of CAP_NET_ADMIN") ||
		!strings.Contains(text, "privileges: who asks is not user root") || !strings.Contains(text, "not all could be looked at") {
		t.Errorf("somebody else:\n%s", text)
	}
	capable := []string{"--reuid=65534", "--regid=65534", "--inh-caps=-all,+net_admin,+net_raw", "--ambient-caps=-all,+net_admin,+net_raw"}
	report, text = ask(append(capable, "--clear-groups")...)
	if len(found(report, "legacy-hidden", doctor.Fails)) != 1 || !strings.Contains(text, "unchecked   forward: tables of iptables-legacy") {
		t.Errorf("without the group root:\n%s", text)
	}
	if report, text = ask(append(capable, "--groups=0")...); report.Fails {
		t.Errorf("with it:\n%s", text)
	}
}

// TestFilesOfTheDaemonsUser: root asks, and gets the answer for the user that runs the daemon; the cure that is told
// is one. Who may not know says so.
func TestFilesOfTheDaemonsUser(t *testing.T) {
	r := newRouter(t, lab.Options{})
	dir, binary := r.forEverybody(t)
	r.binary = binary
	token, log := filepath.Join(dir, "token"), filepath.Join(dir, "log", "transfers.json")
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

	// Anybody can take the gateway's name while it does not run. Nobody's files are opened to him.
	const take = `import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind("\0ftpgate"); s.listen(); print("taken", flush=True); sys.stdin.read()`
	stranger, err := r.Host(lab.Router).StartWith(lab.StartOptions{}, "setpriv", "--reuid=1", "--regid=1", "--clear-groups",
		"sh", "-c", "sleep 600 | python3 -c '"+take+"'")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the name being taken", func() bool { return strings.Contains(stranger.Output(), "taken") })
	if out, code := ask(nil, "check"); code != exitUsage || strings.Contains(out, "as which the gateway runs") || !strings.Contains(out, "make it: install -D") {
		t.Errorf("check while a stranger has the name: exit %d: %s", code, out)
	}
	if out, code := ask(nil, "run"); code == 0 || strings.Contains(out, "ready") {
		t.Errorf("run while a stranger has the name: exit %d: %s", code, out)
	}
	stranger.Kill()
	eventually(t, "the name being free", func() bool {
		_, err := r.Host(lab.Router).Run(t.Context(), "sh", "-c", "! grep -q @ftpgate$ /proc/net/unix")
		return err == nil
	})

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
	report := r.doctored(t)
	if taken := found(report, "status-port-taken", doctor.Fails); len(taken) > 0 {
		t.Errorf("the endpoint of the gateway that runs is taken for somebody else's: %v", taken)
	}
	findings := found(report, "file", doctor.Fails)
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
