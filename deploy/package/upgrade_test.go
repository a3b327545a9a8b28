//go:build deploy

package packages

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
)

// large is the size of a file that no buffer on the way holds.
const large = 96 << 20

// begin opens a data connection and has the command answered by a 150.
func (g *gateway) begin(c *dialogue.Client, mode dialogue.Mode, command string) io.ReadWriteCloser {
	g.t.Helper()
	d, err := c.Open(mode)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { d.Close() })
	if mode.Active() {
		if _, err := c.Want(150, command); err != nil {
			g.t.Fatal(err)
		}
	}
	conn, err := d.Connect()
	if err != nil {
		g.t.Fatal(err)
	}
	if !mode.Active() {
		if _, err := c.Want(150, command); err != nil {
			g.t.Fatal(err)
		}
	}
	return conn
}

// isUpgraded has a file fetched and another one stored meanwhile.
func (g *gateway) isUpgraded(t *testing.T) {
	content := random(large)
	if err := g.servers[lab.Outside].WriteFile("large", content); err != nil {
		t.Fatal(err)
	}
	pid := g.property("MainPID")
	out, in := g.login(lab.Client, "", "203.0.113.20:21"), g.login(lab.Outside, "", "203.0.113.1:21")
	download, upload := g.begin(out, dialogue.PASV, "RETR large"), g.begin(in, dialogue.PORT, "STOR large")
	hash := sha256.New()
	if _, err := io.CopyN(hash, download, 1<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := upload.Write(content[:1<<20]); err != nil {
		t.Fatal(err)
	}

	t.Log(g.install(g.new))
	g.ready()
	if now := g.property("MainPID"); now == pid {
		t.Error("the upgrade has not restarted the daemon")
	}
	if got := g.must("ftpgate", "version"); !strings.Contains(got, "v0.9.1") {
		t.Errorf("version %s", got)
	}
	if text, err := os.ReadFile(filepath.Join(g.root, "etc/ftpgate/ftpgate.yaml")); err != nil || !strings.Contains(string(text), "lan0") {
		t.Errorf("the configuration has not stayed: %v\n%s", err, text)
	}

	if _, err := io.Copy(hash, download); err != nil {
		t.Errorf("the download: %v", err)
	}
	if want := sha256.Sum256(content); !bytes.Equal(hash.Sum(nil), want[:]) {
		t.Error("the download has other bytes than the file")
	}
	if _, err := upload.Write(content[1<<20:]); err != nil {
		t.Errorf("the upload: %v", err)
	}
	upload.Close()
	g.eventually(patience, "the whole upload, the same", func() bool {
		got, err := g.servers[lab.Server].ReadFile("large")
		return err == nil && bytes.Equal(got, content)
	})
	for _, c := range []*dialogue.Client{out, in} {
		if reply, err := c.Read(); err != nil || reply.Code != 421 && reply.Code != 426 {
			t.Errorf("the end of a session is %q, %v", reply, err)
		}
	}
	g.roundTrip(g.login(lab.Client, "", "203.0.113.20:21"), dialogue.PORT, lab.Outside)
}

// keepsTheOld: a version that does not take the configuration does not replace the running one.
func (g *gateway) keepsTheOld(t *testing.T) {
	pid, good := g.property("MainPID"), g.must("cat", "/etc/ftpgate/ftpgate.yaml")
	g.write("etc/ftpgate/ftpgate.yaml", good+"unknown: 1\n")
	if said := g.install(g.new); !strings.Contains(said, "unknown: unknown key") || !strings.Contains(said, "the old version keeps running") {
		t.Errorf("dpkg says\n%s", said)
	}
	if now := g.property("MainPID"); now != pid {
		t.Errorf("process %s has become %s", pid, now)
	}
	g.write("etc/ftpgate/ftpgate.yaml", good)
	g.roundTrip(g.login(lab.Client, "", "203.0.113.20:21"), dialogue.PASV, lab.Outside)

	g.must("systemctl", "stop", "ftpgate.service")
	g.install(g.new)
	if state := g.property("ActiveState"); state != "inactive" {
		t.Errorf("an upgrade of a gateway that was stopped has made it %s", state)
	}
	g.must("systemctl", "start", "ftpgate.service")
}

// isWatched stops the process as one that hangs; the watchdog starts another one.
func (g *gateway) isWatched(t *testing.T) {
	const dropIn = "etc/systemd/system/ftpgate.service.d/test.conf"
	g.write(dropIn, "[Service]\nWatchdogSec=9s\n")
	g.must("systemctl", "daemon-reload")
	g.must("systemctl", "restart", "ftpgate.service")
	g.ready()
	pid := g.property("MainPID")
	// Three looks at the rules are longer than the watchdog: one that is well is left alone.
	time.Sleep(12 * time.Second)
	if now := g.property("MainPID"); now != pid {
		t.Errorf("the watchdog has ended a daemon that was well")
	}
	g.must("kill", "-STOP", pid)
	g.eventually(2*patience, "another process", func() bool { return g.property("MainPID") != pid && g.property("ActiveState") == "active" })
	if said := g.must("journalctl", "--unit=ftpgate", "--output=cat"); !strings.Contains(said, "Watchdog timeout") {
		t.Error("it was not the watchdog")
	}
	if err := os.RemoveAll(filepath.Dir(filepath.Join(g.root, dropIn))); err != nil {
		t.Fatal(err)
	}
	g.must("systemctl", "daemon-reload")
	g.ready()
}

// crashes: the next process knows what the first one found.
func (g *gateway) crashes(t *testing.T) {
	pid := g.property("MainPID")
	g.must("kill", "-KILL", pid)
	g.eventually(patience, "another process", func() bool { return g.property("MainPID") != pid && g.property("ActiveState") == "active" })
	g.ready()
	g.roundTrip(g.login(lab.Client, "", "203.0.113.20:21"), dialogue.EPRT, lab.Outside)
}

// boots: who has edited the configuration has a gateway after the next boot.
func (g *gateway) boots(t *testing.T) {
	g.must("systemctl", "stop", "ftpgate.service")
	g.halt()
	g.boot()
	g.ready()
	g.roundTrip(g.login(lab.Outside, "", "203.0.113.1:21"), dialogue.EPSV, lab.Server)
}

func (g *gateway) sameRules(t *testing.T, before string) {
	t.Helper()
	if now := g.state(); now != before {
		t.Errorf("rules, routes or settings are not as they were before the installation:\n%s", strings.Join(changedLines(before, now), "\n"))
	}
}

// changedLines are those that only one of two texts has.
func changedLines(before, after string) []string {
	lines := func(text string) map[string]string {
		all := map[string]string{}
		for line := range strings.Lines(text) {
			all[strings.TrimSuffix(line, "\n")] = ""
		}
		return all
	}
	return differences(lines(before), lines(after))
}

func (g *gateway) stops(t *testing.T, before string) {
	g.must("systemctl", "stop", "ftpgate.service")
	if result := g.property("Result"); result != "success" {
		t.Errorf("the stop: %s", result)
	}
	g.sameRules(t, before)
	g.must("systemctl", "start", "ftpgate.service")
	g.ready()
}

// isRemoved: of a package that is removed the configuration and the logs stay.
func (g *gateway) isRemoved(t *testing.T, before string) {
	g.must("dpkg", "--remove", "ftpgate")
	g.sameRules(t, before)
	if _, err := g.run("pgrep", "-u", "ftpgate"); err == nil {
		t.Error("a process is left")
	}
	for path, stays := range map[string]bool{
		"etc/ftpgate/ftpgate.yaml": true, "etc/logrotate.d/ftpgate": true, "var/log/ftpgate/transfers.json": true,
		"usr/sbin/ftpgate": false, "usr/lib/systemd/system/ftpgate.service": false,
	} {
		if _, err := os.Stat(filepath.Join(g.root, path)); (err == nil) != stays {
			t.Errorf("%s: %v", path, err)
		}
	}
	g.install(g.new) // over what was left
	g.ready()        // since it was enabled, and its configuration is there
	g.must("dpkg", "--remove", "ftpgate")
}

// isPurged: nothing is left but the user, as Debian keeps it.
func (g *gateway) isPurged(t *testing.T, before string, files map[string]string) {
	g.must("dpkg", "--purge", "ftpgate")
	g.sameRules(t, before)
	if left := differences(files, g.files()); left != nil {
		t.Errorf("files are not as they were before the installation:\n%s", strings.Join(left, "\n"))
	}
	if out, err := g.run("dpkg", "--status", "ftpgate"); err == nil {
		t.Errorf("dpkg knows it: %s", out)
	}
	if state := g.must("sh", "-c", "find /var/lib/systemd /run -xdev -path '*ftpgate*'; stat --format='%n %U:%G %a' /run/xtables.lock"); state != "/run/xtables.lock root:root 600\n" {
		t.Errorf("left in /run and in systemd's state:\n%s", state)
	}
}
