package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// asMain makes the test binary behave as ftpgate, so that exit codes and
// outputs are the real ones.
const asMain = "FTPGATE_TEST_AS_MAIN"

func init() {
	if os.Getenv(asMain) != "" {
		main()
		os.Exit(0)
	}
}

func command(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), asMain+"=1")
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	exit := new(exec.ExitError)
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), complaint.String(), cmd.ProcessState.ExitCode()
}

// TestCommandLine: 0 is good, 1 failed, 2 is the caller's mistake, and every
// complaint says what to do.
func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.yaml", twoSides)
	bad := file("bad.yaml", "interfaces: {lan: [lan0], wan: [wan0]}\nrules:\n  - {name: a, direction: outwards}\n  - {nmae: b, direction: inbound}\n")
	warned := file("warned.yaml", "interfaces: {lan: [lan0], wan: [wan0]}\nrules:\n  - {name: a, direction: outbound, tls: {client: passthrough}, commands: {preset: read_only}}\n")
	for name, c := range map[string]struct {
		args           []string
		code           int
		stdout, stderr []string
	}{
		"check":                {[]string{"check", "--config", good}, 0, []string{"good, rules: 3"}, nil},
		"check --print":        {[]string{"check", "--config", good, "--print"}, 0, []string{"pinhole_timeout: 60s", "preserve_client_address"}, nil},
		"check, bad":           {[]string{"check", "--config", bad}, 2, nil, []string{bad + ":3: rules[0].direction: \"outwards\"", bad + ":4: ", "name"}},
		"check, warning":       {[]string{"check", "--config", warned}, 0, []string{"good"}, []string{"warning: " + warned + ":3", "tls.client"}},
		"check, no file":       {[]string{"check", "--config", filepath.Join(dir, "none.yaml")}, 2, nil, []string{"none.yaml"}},
		"run, bad":             {[]string{"run", "--config", bad}, 2, nil, []string{bad + ":3"}},
		"trace, no interface":  {[]string{"trace", "--interface", "nosuch0"}, 2, nil, []string{"there is no interface \"nosuch0\", only ", "lo"}},
		"trace, no client":     {[]string{"trace", "--client", "bob", "--read", good}, 2, nil, []string{"--client \"bob\": neither an address nor a network"}},
		"trace, no port":       {[]string{"trace", "--port", "70000", "--read", good}, 2, nil, []string{"--port 70000"}},
		"trace, two sources":   {[]string{"trace", "--interface", "lo", "--read", good}, 2, nil, []string{"--read reads a file whole"}},
		"trace, no time":       {[]string{"trace", "--duration", "-1s"}, 2, nil, []string{"--duration -1s"}},
		"trace, too much":      {[]string{"trace", "lo"}, 2, nil, []string{"--interface", "--read"}},
		"trace, no file":       {[]string{"trace", "--read", filepath.Join(dir, "none.pcap")}, 1, nil, []string{"none.pcap"}},
		"trace, no capture":    {[]string{"trace", "--read", good}, 1, nil, []string{good, "neither pcap nor pcapng"}},
		"trace, itself":        {[]string{"trace", "--read", good, "--write", good}, 2, nil, []string{"is the file that --read reads"}},
		"trace, no config":     {[]string{"trace", "--config", filepath.Join(dir, "none.yaml"), "--read", good}, 2, nil, []string{"none.yaml"}},
		"trace, no directory":  {[]string{"trace", "--read", good, "--write", filepath.Join(dir, "none", "f")}, 1, nil, []string{"writing the packets"}},
		"version":              {[]string{"version"}, 0, []string{"ftpgate ", "linux/"}, nil},
		"no subcommand":        {nil, 2, nil, []string{"--help"}},
		"unknown subcommand":   {[]string{"rnu"}, 2, nil, []string{"no subcommand \"rnu\": is it run?"}},
		"strange subcommand":   {[]string{"frobnicate"}, 2, nil, []string{"frobnicate", "ftpgate --help"}},
		"status, unknown":      {[]string{"status", "session"}, 2, nil, []string{"\"session\" is not known here: write one of sessions, pinholes, transfers"}},
		"status, too much":     {[]string{"status", "sessions", "pinholes"}, 2, nil, []string{"\"pinholes\" is too much: one of sessions"}},
		"completion, unknown":  {[]string{"completion", "tcsh"}, 2, nil, []string{"\"tcsh\" is not known here: write one of bash, zsh, fish"}},
		"completion, none":     {[]string{"completion"}, 2, nil, []string{"name the shell: bash, zsh or fish"}},
		"unknown flag":         {[]string{"check", "--confg", good}, 2, nil, []string{"--confg"}},
		"argument too much":    {[]string{"check", good}, 2, nil, []string{good}},
		"help is not an error": {[]string{"--help"}, 0, []string{"run", "check", "trace", "version"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := command(t, c.args...)
			if code != c.code {
				t.Errorf("exit code %d", code)
			}
			for got, wanted := range map[string][]string{stdout: c.stdout, stderr: c.stderr} {
				for _, want := range wanted {
					if !strings.Contains(got, want) {
						t.Errorf("%q is missing in %q", want, got)
					}
				}
			}
		})
	}
}

// TestPrintIsAConfiguration: what check prints is read again as the same.
func TestPrintIsAConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	if err := os.WriteFile(path, []byte(twoSides), 0o600); err != nil {
		t.Fatal(err)
	}
	first, _, _ := command(t, "check", "--config", path, "--print")
	if err := os.WriteFile(path, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	second, stderr, code := command(t, "check", "--config", path, "--print")
	if code != 0 || first != second {
		t.Errorf("exit code %d: %s\nfirst:\n%s\nsecond:\n%s", code, stderr, first, second)
	}
}
