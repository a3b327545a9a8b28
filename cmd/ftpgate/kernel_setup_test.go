//go:build kernel

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// TestSetup: what setup writes is a gateway that works; it overwrites nothing
// unasked, and a host on which FTP would fail is told so.
func TestSetup(t *testing.T) {
	r := newRouter(t, lab.Options{})
	outside := r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{Passive: passiveRange})
	inside := r.serve(peers.Vsftpd(), lab.Server, peers.ServerOptions{Passive: passiveRange})
	dir := t.TempDir()
	path := filepath.Join(dir, "etc", "ftpgate.yaml")
	setup := func(code int, args ...string) string {
		t.Helper()
		cmd := r.Host(lab.Router).Command(t.Context(), gatewayBinary, append([]string{"setup", "--config", path}, args...)...)
		cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
		out, err := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Errorf("ftpgate setup %v: exit code %d, not %d (%v): %s", args, got, code, err, out)
		}
		return string(out)
	}
	before := r.state()
	if out := setup(2, "--dry-run"); !strings.Contains(out, "no default route") || !strings.Contains(out, "lan0 (up)") {
		t.Errorf("without a default route: %s", out)
	}
	r.run("ip", "route", "add", "default", "via", "203.0.113.20")
	if out := setup(0, "--dry-run", "--publish", "192.168.50.20"); !strings.Contains(out, "lan: [lan0]") || !strings.Contains(out, "wan: [wan0]") || !strings.Contains(out, `server: ["192.168.50.20:21"]`) {
		t.Errorf("a dry run: %s", out)
	}
	if _, err := os.Stat(filepath.Dir(path)); !os.IsNotExist(err) {
		t.Errorf("a dry run has written: %v", err)
	}
	if out := setup(0, "--publish", "192.168.50.20", "--publish", "2001:db8:50::20"); !strings.Contains(out, "LAN: lan0   WAN: wan0") || !strings.Contains(out, "is written") {
		t.Error(out)
	}
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if out := setup(2); !strings.Contains(out, "is there already") {
		t.Error(out)
	}
	setup(0, "--force", "--no-enable")
	if kept, err := os.ReadFile(path + ".old"); err != nil || string(kept) != string(first) {
		t.Errorf("the old file: %v", err)
	}
	packaged, err := os.ReadFile("../../deploy/package/ftpgate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, packaged, 0o640); err != nil {
		t.Fatal(err)
	}
	setup(0, "--publish", "192.168.50.20")
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r.start(string(written))
	roundTrip(t, login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{}), dialogue.PORT, outside)
	roundTrip(t, login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{}), dialogue.PASV, inside)
	r.stop()
	if err := r.Host(lab.Router).SetSysctl("net.ipv4.ip_forward", "0"); err != nil {
		t.Fatal(err)
	}
	if out := setup(1, "--force"); !strings.Contains(out, "FTP would fail on this host") || !strings.Contains(out, "net.ipv4.ip_forward") {
		t.Error(out)
	}
	setup(0, "--force", "--router")
	if err := r.Host(lab.Router).SetSysctl("net.ipv4.ip_forward", "1"); err != nil {
		t.Fatal(err)
	}
	r.run("ip", "route", "del", "default", "via", "203.0.113.20")
	if after := r.state(); after != before {
		t.Errorf("it changed the host:\n%s", difference(before, after))
	}
	for _, wrong := range [][]string{{"--publish", "server"}, {"--publish", "10.0.0.1", "--publish", "10.0.0.2"}, {"--no-outbound"}, {"--lan", "eth9", "--wan", "wan0"}} {
		setup(2, append(wrong, "--force")...)
	}
}

// TestSetupAsks: on a terminal setup asks for what it cannot tell and takes no answer that is none; without one it names
// the flag. A tie is never broken by a guess.
func TestSetupAsks(t *testing.T) {
	r := newRouter(t, lab.Options{})
	for _, line := range []string{"link add guests type veth peer name guest0", "address add 10.20.0.1/24 dev guests", "link set guests up", "route add default via 203.0.113.20"} {
		r.run("ip", strings.Fields(line)...)
	}
	path := filepath.Join(t.TempDir(), "ftpgate.yaml")
	command := func(args ...string) *exec.Cmd {
		cmd := r.Host(lab.Router).Command(t.Context(), gatewayBinary, append([]string{"setup", "--config", path}, args...)...)
		cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
		return cmd
	}
	nothing := func() {
		t.Helper()
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Fatalf("it has written: %v", err)
		}
	}
	for _, args := range [][]string{nil, {"--dry-run"}, {"--yes"}} {
		cmd := command(args...)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "guests and lan0 are up with private addresses") &&
			!strings.Contains(string(out), "lan0 and guests are up with private addresses") || !strings.Contains(string(out), "--lan") {
			t.Errorf("setup %v without a terminal: %v: %s", args, err, out)
		}
		nothing()
	}
	const lan, server = "trusted side (LAN)? ", "for clients outside (Enter: none): "
	if shown, err := lab.Converse(command("--yes")); err == nil || !strings.Contains(shown, "--lan") {
		t.Errorf("on a terminal, with --yes: %v: %s", err, shown)
	}
	for _, answers := range [][]lab.Answer{
		{{Question: lan, Text: "\x04"}}, // Ctrl-D
		{{Question: lan, Text: "lan0"}, {Question: server}, {Question: "? [Y/n] ", Text: "n"}},
	} {
		if shown, err := lab.Converse(command(), answers...); err == nil || !strings.Contains(shown, "nothing was written") {
			t.Errorf("%v: %v: %s", answers, err, shown)
		}
		nothing()
	}
	shown, err := lab.Converse(command(), lab.Answer{Question: lan, Text: ""}, lab.Answer{Question: lan, Text: "eth9"}, lab.Answer{Question: lan, Text: "lan0"},
		lab.Answer{Question: server, Text: "my server"}, lab.Answer{Question: server, Text: "192.168.50.20, 2001:db8:50::20"}, lab.Answer{Question: "? [Y/n] ", Text: ""})
	if err != nil || !strings.Contains(shown, "the LAN side needs an interface") || !strings.Contains(shown, "there is no interface eth9") || !strings.Contains(shown, "neither an address") {
		t.Errorf("%v: %s", err, shown)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), "lan: [lan0]") || !strings.Contains(string(text), "wan: [wan0]") || !strings.Contains(string(text), `server: ["192.168.50.20:21", "[2001:db8:50::20]:21"]`) {
		t.Errorf("%v\n%s", err, text)
	}
	// The questions do not go where the configuration goes.
	cmd := command("--dry-run")
	printed, err := os.Create(filepath.Join(t.TempDir(), "printed"))
	if err != nil {
		t.Fatal(err)
	}
	defer printed.Close()
	quoted := "'" + strings.Join(cmd.Args, "' '") + "' >" + printed.Name()
	shell := exec.CommandContext(t.Context(), "sh", "-c", quoted)
	shell.Env = cmd.Env
	if shown, err := lab.Converse(shell, lab.Answer{Question: lan, Text: "lan0"}, lab.Answer{Question: server, Text: ""}); err != nil {
		t.Errorf("%v: %s", err, shown)
	}
	if text, err := os.ReadFile(printed.Name()); err != nil || !strings.HasPrefix(string(text), "# Made by ftpgate setup") || strings.Contains(string(text), "Enter: none") {
		t.Errorf("%v: %s", err, text)
	}
}
