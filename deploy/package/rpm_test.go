//go:build deploy

package packages

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
)

// rpm is the package of a version for this machine, as rpm.
func (g *gateway) rpm(t *testing.T, version string) string {
	t.Helper()
	for _, a := range architectures {
		if a.goarch == runtime.GOARCH {
			return filepath.Join(packages, "ftpgate-"+version+"-1."+a.rpm+".rpm")
		}
	}
	t.Fatalf("there is no package for %s", runtime.GOARCH)
	return ""
}

// TestRPM is the life of the other package: its scriptlets are run by rpm itself, on the same Debian, with Fedora's presets.
func TestRPM(t *testing.T) {
	g := newGateway(t, lab.Options{Filter: lab.FilterBare})
	g.isOnline(t)
	g.old, g.new = g.rpm(t, "0.9.0"), g.rpm(t, "0.9.1")
	g.write("etc/systemd/system-preset/99-default-disable.preset", "disable *\n")
	rules := g.state()
	for _, step := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"install", g.isInstalledByRPM},
		{"confined", g.isConfined},
		{"all flows", g.transferInAllFlows},
		{"upgrade that does not fit", g.keepsTheOldOfRPM},
		{"upgrade", g.isUpgraded},
		{"upgrade with another default", g.getsAnotherDefault},
		{"erase", func(t *testing.T) { g.isErased(t, rules) }},
		{"erase after a crash", func(t *testing.T) { g.isErasedAfterCrash(t, rules) }},
	} {
		if !t.Run(step.name, func(t *testing.T) {
			outer := g.t
			g.t = t
			defer func() { g.t = outer }()
			step.do(t)
		}) {
			break // the next steps build on this one
		}
	}
}

func (g *gateway) isInstalledByRPM(t *testing.T) {
	t.Log(g.install(g.old))
	// Nothing runs, and nothing will at the next boot, until the administrator says so.
	if out, err := g.run("systemctl", "is-enabled", "ftpgate.service"); err == nil || out != "disabled\n" {
		t.Errorf("after the installation the unit is %s", out)
	}
	if state := g.property("ActiveState"); state != "inactive" {
		t.Errorf("after the installation the unit is %s", state)
	}
	g.must("id", "ftpgate")
	if lock := g.must("stat", "--format=%U:%G %a", "/run/xtables.lock"); lock != "root:ftpgate 660\n" {
		t.Errorf("the lock of iptables is %s", lock)
	}
	g.must("ftpgate", "setup", "--yes", "--publish", "192.168.50.20", "--publish", "2001:db8:50::20")
	g.ready()
	if enabled := g.must("systemctl", "is-enabled", "ftpgate.service"); enabled != "enabled\n" {
		t.Errorf("after setup the unit is %s", enabled)
	}
}

// keepsTheOldOfRPM: a version that does not take the configuration does not replace the running one, and says so. Then back to
// the former version.
func (g *gateway) keepsTheOldOfRPM(t *testing.T) {
	pid, good := g.property("MainPID"), g.must("cat", "/etc/ftpgate/ftpgate.yaml")
	g.write("etc/ftpgate/ftpgate.yaml", good+"unknown: 1\n")
	if said := g.install(g.new); !strings.Contains(said, "unknown: unknown key") || !strings.Contains(said, "the old version keeps running") {
		t.Errorf("rpm says\n%s", said)
	}
	if now := g.property("MainPID"); now != pid {
		t.Errorf("process %s has become %s", pid, now)
	}
	g.write("etc/ftpgate/ftpgate.yaml", good)
	g.install(g.old)
	g.ready()
	if got := g.must("ftpgate", "version"); !strings.Contains(got, "v0.9.0") {
		t.Errorf("version %s", got)
	}
}

// getsAnotherDefault: the configuration of the administrator stays, the package's new one is put beside it.
func (g *gateway) getsAnotherDefault(t *testing.T) {
	source := filepath.Join(t.TempDir(), "source")
	copySource(t, repository(t), source)
	file, err := os.OpenFile(filepath.Join(source, "deploy/package/ftpgate.yaml"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteString("# another default\n")
		file.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	build(t, source, packages, "v0.9.2", runtime.GOARCH)
	before, pid := g.must("cat", "/etc/ftpgate/ftpgate.yaml"), g.property("MainPID")
	t.Log(g.install(g.rpm(t, "0.9.2")))
	if after := g.must("cat", "/etc/ftpgate/ftpgate.yaml"); after != before {
		t.Errorf("the configuration was changed:\n%s", after)
	}
	if text := g.must("cat", "/etc/ftpgate/ftpgate.yaml.rpmnew"); !strings.Contains(text, "# another default") {
		t.Errorf("the new default is\n%s", text)
	}
	g.ready()
	if now := g.property("MainPID"); now == pid {
		t.Error("the upgrade has not restarted the daemon")
	}
}

// isErased: the configuration and the logs stay, and the user.
func (g *gateway) isErased(t *testing.T, before string) {
	g.must("rpm", "--erase", "--force-debian", "ftpgate")
	g.sameRules(t, before)
	if _, err := g.run("pgrep", "-u", "ftpgate"); err == nil {
		t.Error("a process is left")
	}
	for path, stays := range map[string]bool{
		"etc/ftpgate/ftpgate.yaml.rpmsave": true, "var/log/ftpgate": true, "etc/ftpgate/ftpgate.yaml": false, "etc/logrotate.d/ftpgate": false,
		"usr/sbin/ftpgate": false, "usr/lib/systemd/system/ftpgate.service": false, "etc/systemd/system/multi-user.target.wants/ftpgate.service": false,
	} {
		if _, err := os.Lstat(filepath.Join(g.root, path)); (err == nil) != stays {
			t.Errorf("%s: %v", path, err)
		}
	}
	g.must("id", "ftpgate")
	if lock := g.must("stat", "--format=%U:%G %a", "/run/xtables.lock"); lock != "root:root 600\n" {
		t.Errorf("the lock of iptables is %s", lock)
	}
}

// isErasedAfterCrash: what was kept is a configuration again; a killed daemon leaves nothing either.
func (g *gateway) isErasedAfterCrash(t *testing.T, before string) {
	g.install(g.new)
	g.must("mv", "/etc/ftpgate/ftpgate.yaml.rpmsave", "/etc/ftpgate/ftpgate.yaml")
	g.must("systemctl", "start", "ftpgate.service")
	g.ready()
	g.isKilledForGood(t)
	if g.state() == before {
		t.Error("the killed daemon has left nothing, so this test shows nothing")
	}
	g.must("rpm", "--erase", "--force-debian", "ftpgate")
	g.sameRules(t, before)
}
