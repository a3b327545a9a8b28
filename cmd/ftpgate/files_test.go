package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCheckLooksAtFiles: what run would not find is found by check, with line, key and cure; with --elsewhere it
// is not looked for.
func TestCheckLooksAtFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever umask says
			t.Fatal(err)
		}
		return path
	}
	const secret = "a-token-of-sixteen-and-more\n"
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		line string
		want []string // nil: good
	}{
		"good":          {"status: {token_file: " + write("good", secret, 0o640) + "}", nil},
		"missing token": {"status: {token_file: " + dir + "/none}", []string{":4: status.token_file: ", "no such file", "make it: install -D -m 0640", dir + "/none"}},
		"token of everybody": {"status: {token_file: " + write("open", secret, 0o644) + "}",
			[]string{":4: status.token_file: ", "mode 0644", "chmod o= " + dir + "/open"}},
		"token from a pipe": {"status: {token_file: " + pipe + "}", []string{":4: status.token_file", "not a regular file", "name a file"}},
		"short token":       {"status: {token_file: " + write("short", "secret\n", 0o600) + "}", []string{"status.token_file", "6 characters", "head -c 24"}},
		"missing key":       {"status: {tls_certificate: " + write("c.pem", "", 0o644) + ", tls_key: " + dir + "/k.pem}", []string{":4: status.tls_key", "put it there"}},
		"key of everybody": {"status: {tls_certificate: " + write("d.pem", "", 0o644) + ", tls_key: " + write("e.pem", "", 0o644) + "}",
			[]string{":4: status.tls_key", "mode 0644", "chmod o= " + dir + "/e.pem"}},
		"no certificate":   {"status: {tls_certificate: " + write("f.pem", "", 0o644) + ", tls_key: " + write("g.pem", "", 0o640) + "}", []string{":4: status.tls_certificate", "PEM"}},
		"missing audit":    {"audit: {transfers: " + dir + "/log/t.json}", []string{":4: audit.transfers", "no such file", "make it: install -d -m 0750", dir + "/log"}},
		"audit, directory": {"audit: {xferlog: " + dir + "}", []string{":4: audit.xferlog", "is a directory"}},
		"audit to be made": {"audit: {transfers: " + dir + "/t.json}", nil},
		"missing socket":   {"status: {listen: 'unix:" + dir + "/run/s.sock'}", []string{":4: status.listen", "make it: install -d", dir + "/run"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ftpgate.yaml")
			text := "interfaces: {lan: [lan0], wan: [wan0]}\nrules:\n  - {name: a, direction: outbound}\n" + c.line + "\n"
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			stdout, stderr, code := command(t, "check", "--config", path)
			if (code == 0) != (c.want == nil) || code != 0 && code != exitUsage {
				t.Errorf("exit %d: %s%s", code, stdout, stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("%q is missing in %q", want, stderr)
				}
			}
			if _, err := os.Stat(filepath.Join(dir, "t.json")); err == nil {
				t.Error("check has made a file")
			}
			if _, stderr, code := command(t, "check", "--elsewhere", "--config", path); code != 0 {
				t.Errorf("--elsewhere: exit %d: %s", code, stderr)
			}
		})
	}
}

// TestSandbox: what the unit of the packages keeps from its daemon and gives it counts, whatever modes say.
func TestSandbox(t *testing.T) {
	text, err := os.ReadFile("../../deploy/package/ftpgate.service")
	if err != nil {
		t.Fatal(err)
	}
	p := properties{}
	for line := range strings.Lines(string(text)) { // systemctl show prints them likewise
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		p[key] = value
	}
	p["LoadCredential"] = "token:/etc/ftpgate/token"
	r := runner{user: "root", group: "root", unit: p.sandbox()}
	open := func() error { return nil }
	missing := func() error { _, err := os.Open("/nowhere/at/all"); return err }
	for _, c := range []struct {
		n    named
		want string // of the problem and its cure; "": none
	}{
		{named{path: "/var/log/ftpgate/t.json", writes: true, try: open}, ""},
		{named{path: "/var/log/ftpgate/t.json", writes: true, try: missing}, ""},
		{named{path: "/var/log/ftpgate/a/t.json", writes: true, try: missing}, "no such file"},
		{named{path: "/run/ftpgate/status.sock", writes: true, try: missing}, ""},
		{named{path: "/srv/t.json", writes: true, try: open}, "name a file below /var/log/ftpgate, or let the unit write there: systemctl edit ftpgate.service, [Service] ReadWritePaths=/srv"},
		{named{path: "/home/joe/token", try: open}, "ProtectHome"},
		{named{path: "/etc/ssl/private/k.pem", try: open}, "below /etc/ftpgate"},
		{named{path: "/etc/ssl/private-keys/k.pem", try: open}, ""},
		{named{path: "/run/credentials/ftpgate.service/token", try: missing}, ""},
		{named{path: "/run/credentials/other.service/token", try: missing}, "no such file"},
	} {
		found := r.troubles([]named{c.n})
		if c.want == "" && len(found) == 0 {
			continue
		}
		if c.want == "" || len(found) != 1 || !strings.Contains(found[0].Problem+found[0].Cure, c.want) {
			t.Errorf("%s: %+v, want %q", c.n.path, found, c.want)
		}
	}
}

// TestSandboxOfOthers: a unit that an administrator has changed.
func TestSandboxOfOthers(t *testing.T) {
	try := func(p properties) string {
		r := runner{user: "root", group: "root", unit: p.sandbox()}
		found := r.troubles([]named{{path: "/var/lib/ftpgate/t.json", writes: true, try: func() error { return nil }}})
		if len(found) == 0 {
			return ""
		}
		return found[0].Problem + "; " + found[0].Cure
	}
	if said := try(properties{"ProtectSystem": "strict"}); !strings.Contains(said, "write nowhere; let the unit write there") {
		t.Errorf("nothing to write to: %s", said)
	}
	if said := try(properties{"ProtectSystem": "strict", "StateDirectory": "ftpgate"}); said != "" {
		t.Errorf("StateDirectory: %s", said)
	}
	if said := try(properties{"ProtectSystem": "full"}); said != "" {
		t.Errorf("not confined: %s", said)
	}
}

func TestInUnit(t *testing.T) {
	for cgroups, want := range map[string]bool{
		"0::/system.slice/ftpgate.service\n":                                                 true,
		"12:pids:/system.slice/ftpgate.service\n1:name=systemd:/ftp.slice/ftpgate.service\n": true,
		"0::/system.slice/ftpgate.service/sub\n":                                             false,
		"0::/system.slice/not-ftpgate.service\n":                                             false,
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/ftpgate.service\n":       false,
		"": false,
	} {
		if got := inUnit(cgroups); got != want {
			t.Errorf("%q: %t", cgroups, got)
		}
	}
}
