//go:build deploy

package packages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

const (
	// patience bounds every wait for something that should happen at once, on a machine that is busy.
	patience = 30 * time.Second
	// bootTime bounds the boot of a container, and its end.
	bootTime = 90 * time.Second
)

// machine is a Debian with systemd that is the router of a lab: a container in its network namespace.
type machine struct {
	*lab.Lab
	t      *testing.T
	root   string
	nspawn *exec.Cmd
	leader int // its systemd, as this machine numbers it
}

// newMachine copies the Debian that install.sh has made, and boots it.
func newMachine(t *testing.T, o lab.Options) *machine {
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
	base, err := peers.CachePath("debian")
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{Lab: l, t: t, root: filepath.Join(t.TempDir(), "debian")}
	if out, err := exec.Command("cp", "-a", "--reflink=auto", base, m.root).CombinedOutput(); err != nil {
		t.Fatalf("copying %s: %v: %s", base, err, out)
	}
	m.write("etc/resolv.conf", "# the lab has no resolver; who asks is told so at once\n")
	m.boot()
	t.Cleanup(m.halt)
	return m
}

// boot starts the container and waits until its systemd has started what there is.
func (m *machine) boot() {
	m.t.Helper()
	m.nspawn = exec.Command("systemd-nspawn", "--quiet", "--directory="+m.root, "--boot", "--machine=ftpgate-test",
		"--network-namespace-path=/run/netns/"+m.Host(lab.Router).Namespace, "--capability=CAP_NET_ADMIN",
		"--register=no", "--keep-unit", "--console=pipe", "--resolv-conf=off")
	m.nspawn.Env = append(os.Environ(), "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network")
	var console bytes.Buffer
	m.nspawn.Stdout, m.nspawn.Stderr = &console, &console
	m.nspawn.WaitDelay = time.Second
	m.nspawn.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.nspawn.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.leader = 0
	m.eventually(bootTime, "a container that has started", func() bool {
		list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", m.nspawn.Process.Pid))
		m.leader, _ = strconv.Atoi(strings.TrimSpace(string(list)))
		if m.leader == 0 {
			return false
		}
		state, _ := m.run("systemctl", "is-system-running")
		return strings.HasPrefix(state, "running") || strings.HasPrefix(state, "degraded")
	})
}

// halt ends the container as a power button does.
func (m *machine) halt() {
	if m.nspawn == nil {
		return
	}
	if m.t.Failed() {
		out, _ := m.run("journalctl", "--no-pager", "--lines=80", "--unit=ftpgate")
		m.t.Logf("the journal says:\n%s", out)
	}
	m.nspawn.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(bootTime, func() { m.nspawn.Process.Kill() })
	m.nspawn.Wait()
	if !late.Stop() {
		m.t.Error("the container had to be killed")
	}
	m.nspawn = nil
}

// command prepares a program that runs in the container.
func (m *machine) command(ctx context.Context, args ...string) *exec.Cmd {
	enter := []string{"--target", strconv.Itoa(m.leader), "--all", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
		"DEBIAN_FRONTEND=noninteractive"}
	return exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
}

// run executes a program in the container.
func (m *machine) run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), bootTime)
	defer cancel()
	out, err := m.command(ctx, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return string(out), err
}

// must is run that has to succeed.
func (m *machine) must(args ...string) string {
	m.t.Helper()
	out, err := m.run(args...)
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

// property is one of the unit's, as systemd has it.
func (m *machine) property(name string) string {
	m.t.Helper()
	return strings.TrimSpace(m.must("systemctl", "show", "--value", "--property="+name, "ftpgate.service"))
}

// install gives dpkg or rpm a package, and returns what it says. To rpm a Debian has none of the packages that ours needs.
func (m *machine) install(file string) string {
	m.t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		m.t.Fatal(err)
	}
	inside := "/var/tmp/ftpgate" + filepath.Ext(file)
	m.write(inside, string(content))
	defer os.Remove(filepath.Join(m.root, inside))
	if filepath.Ext(file) == ".deb" {
		return m.must("dpkg", "--install", inside)
	}
	how := "--install"
	if _, err := m.run("rpm", "--query", "ftpgate"); err == nil {
		how = "--upgrade"
	}
	return m.must("rpm", how, "--oldpackage", "--nodeps", "--force-debian", inside)
}

// write makes a file in the container.
func (m *machine) write(path, content string) {
	m.t.Helper()
	path = filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) eventually(within time.Duration, what string, holds func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(within); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatalf("%s: not within %s", what, within)
		}
	}
}

func (m *machine) state() string {
	m.t.Helper()
	state, err := m.State(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	return state
}

// others are files that change with every package, or by the clock: no trace of this one. Debian's system users stay.
var others = []string{
	"var/lib/dpkg/", "var/log/dpkg.log", "var/log/journal/", "var/log/fail2ban.log", "var/lib/fail2ban/", "var/lib/logrotate/",
	"var/cache/", "var/lib/systemd/", "var/tmp/", "var/log/wtmp", "var/log/btmp", "etc/.updated", "var/.updated",
	"etc/passwd", "etc/group", "etc/shadow", "etc/gshadow", "etc/.pwd.lock",
}

// files describes every file of the container that is not one of others.
func (m *machine) files() map[string]string {
	m.t.Helper()
	found := map[string]string{}
	for _, top := range []string{"etc", "usr", "var", "opt", "srv", "home", "root"} {
		err := filepath.WalkDir(filepath.Join(m.root, top), func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name, _ := filepath.Rel(m.root, path)
			for _, o := range others {
				if strings.HasPrefix(name+"/", o) || strings.HasPrefix(name, o) {
					return nil
				}
			}
			found[name], err = describe(path, entry)
			return err
		})
		if err != nil {
			m.t.Fatal(err)
		}
	}
	return found
}

// describe is mode, owner and content of a file.
func describe(path string, entry fs.DirEntry) (string, error) {
	info, err := entry.Info()
	if err != nil {
		return "", err
	}
	owner := info.Sys().(*syscall.Stat_t)
	text := fmt.Sprintf("%v %d:%d", info.Mode(), owner.Uid, owner.Gid)
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(path)
		return text + " " + to, err
	case info.Mode().IsRegular():
		content, err := os.ReadFile(path)
		return fmt.Sprintf("%s %x", text, sha256.Sum256(content)), err
	}
	return text, nil
}

// differences lists what is not the same in two descriptions.
func differences(before, after map[string]string) (all []string) {
	for name, was := range before {
		if now, ok := after[name]; !ok || now != was {
			all = append(all, fmt.Sprintf("%s: was %s, is %q", name, was, now))
		}
	}
	for name, now := range after {
		if _, ok := before[name]; !ok {
			all = append(all, fmt.Sprintf("%s: is new: %s", name, now))
		}
	}
	return all
}
