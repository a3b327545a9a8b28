//go:build kernel

package packages

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// contents are the packages' files with their modes. The man pages are those that there are commands for.
const contents = `
-rw-r--r-- /etc/fail2ban/filter.d/ftpgate.conf
-rw-r--r-- /etc/fail2ban/jail.d/ftpgate.conf
-rw-r--r-- /etc/ftpgate/ftpgate.yaml
-rw-r--r-- /etc/logrotate.d/ftpgate
-rw-r--r-- /etc/sysctl.d/60-ftpgate.conf
-rw-r--r-- /usr/lib/systemd/system/ftpgate.service
-rw-r--r-- /usr/lib/sysusers.d/ftpgate.conf
-rw-r--r-- /usr/lib/tmpfiles.d/ftpgate.conf
-rwxr-xr-x /usr/sbin/ftpgate
-rw-r--r-- /usr/share/bash-completion/completions/ftpgate
-rw-r--r-- /usr/share/doc/ftpgate/ARCHITECTURE.md
-rw-r--r-- /usr/share/doc/ftpgate/README.md
-rw-r--r-- /usr/share/doc/ftpgate/UPGRADING.md
-rw-r--r-- /usr/share/doc/ftpgate/copyright
-rw-r--r-- /usr/share/doc/ftpgate/examples/alerts.yaml
-rw-r--r-- /usr/share/doc/ftpgate/examples/both.yaml
-rw-r--r-- /usr/share/doc/ftpgate/examples/grafana.json
-rw-r--r-- /usr/share/doc/ftpgate/examples/lan-out.yaml
-rw-r--r-- /usr/share/doc/ftpgate/examples/publish.yaml
-rw-r--r-- /usr/share/doc/ftpgate/examples/router.yaml
-rw-r--r-- /usr/share/doc/ftpgate/ftpgate.yaml
-rw-r--r-- /usr/share/doc/ftpgate/licenses.gz
-rw-r--r-- /usr/share/doc/ftpgate/troubleshooting.md
-rw-r--r-- /usr/share/fish/vendor_completions.d/ftpgate.fish
-rw-r--r-- /usr/share/man/man1/ftpgate-check.1.gz
-rw-r--r-- /usr/share/man/man1/ftpgate-completion.1.gz
-rw-r--r-- /usr/share/man/man1/ftpgate-doctor.1.gz
-rw-r--r-- /usr/share/man/man1/ftpgate-run.1.gz
-rw-r--r-- /usr/share/man/man1/ftpgate-setup.1.gz
-rw-r--r-- /usr/share/man/man1/ftpgate-status.1.gz
-rw-r--r-- /usr/share/man/man1/ftpgate-trace.1.gz
-rw-r--r-- /usr/share/man/man1/ftpgate-version.1.gz
-rw-r--r-- /usr/share/man/man1/ftpgate.1.gz
-rw-r--r-- /usr/share/man/man5/ftpgate.yaml.5.gz
-rw-r--r-- /usr/share/zsh/site-functions/_ftpgate
`

// TestPackages builds all of them, this machine's twice from two copies of the source, and looks into them.
func TestPackages(t *testing.T) {
	copied := filepath.Join(t.TempDir(), "elsewhere")
	copySource(t, repository(t), copied)
	dir, again := t.TempDir(), t.TempDir()
	build(t, repository(t), dir, "v1.2.3-4-gabcdef0", "amd64 arm64 armv7")
	build(t, copied, again, "v1.2.3-4-gabcdef0", runtime.GOARCH, "TZ=Asia/Tokyo", "LC_ALL=C.UTF-8")
	for _, a := range architectures {
		deb, rpm := "ftpgate_1.2.3+4.gabcdef0-1_"+a.deb+".deb", "ftpgate-1.2.3+4.gabcdef0-1."+a.rpm+".rpm"
		for _, name := range []string{deb, rpm} {
			if a.goarch != runtime.GOARCH {
				continue
			}
			if one, two := digest(t, filepath.Join(dir, name)), digest(t, filepath.Join(again, name)); one != two {
				t.Errorf("%s differs when it is built twice", name)
			}
		}
		if d := cmp.Diff(contents, debContents(t, filepath.Join(dir, deb))); d != "" {
			t.Errorf("%s holds other files:\n%s", deb, d)
		}
		if d := cmp.Diff(contents, rpmContents(t, filepath.Join(dir, rpm))); d != "" {
			t.Errorf("%s holds other files:\n%s", rpm, d)
		}
		root := filepath.Join(t.TempDir(), a.deb)
		output(t, "dpkg-deb", "--extract", filepath.Join(dir, deb), root)
		isStatic(t, filepath.Join(root, "usr/sbin/ftpgate"), a.machine)
		if a.goarch == runtime.GOARCH {
			isGood(t, root)
		}
	}
	for _, name := range []string{"conffiles", "preinst", "postinst", "prerm", "postrm"} {
		out := output(t, "dpkg-deb", "--info", filepath.Join(dir, "ftpgate_1.2.3+4.gabcdef0-1_amd64.deb"), name)
		if name == "conffiles" {
			if got := strings.Count(out, "/etc/"); got != 5 || !strings.Contains(out, "/etc/ftpgate/ftpgate.yaml\n") {
				t.Errorf("conffiles:\n%s", out)
			}
		} else if sh := exec.Command("sh", "-n"); true {
			sh.Stdin = strings.NewReader(out)
			if said, err := sh.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", name, err, said)
			}
		}
	}
	flags := output(t, "rpm", "-qp", "--nosignature", "--queryformat", "[%{FILEFLAGS:fflags} %{FILENAMES}\n]", filepath.Join(dir, "ftpgate-1.2.3+4.gabcdef0-1.x86_64.rpm"))
	if !strings.Contains(flags, "cn /etc/ftpgate/ftpgate.yaml\n") {
		t.Errorf("an upgrade by rpm would replace the configuration:\n%s", flags)
	}
}

// isGood tries what was unpacked: the binary, the unit, and the configuration.
func isGood(t *testing.T, root string) {
	binary := filepath.Join(root, "usr/sbin/ftpgate")
	if got := output(t, binary, "version"); !strings.Contains(got, "v1.2.3-4-gabcdef0") {
		t.Errorf("version %s", got)
	}
	output(t, binary, "check", "--config", filepath.Join(root, "etc/ftpgate/ftpgate.yaml"))
	text, err := os.ReadFile(filepath.Join(root, "usr/lib/systemd/system/ftpgate.service"))
	if err != nil {
		t.Fatal(err)
	}
	// systemd-analyze looks for the programs, and the unit says where they will be.
	unit := filepath.Join(t.TempDir(), "ftpgate.service")
	if err := os.WriteFile(unit, bytes.ReplaceAll(text, []byte("/usr/sbin/ftpgate"), []byte(binary)), 0o644); err != nil {
		t.Fatal(err)
	}
	verify := exec.Command("systemd-analyze", "verify", "--recursive-errors=no", "--man=no", unit)
	if out, err := verify.CombinedOutput(); err != nil || strings.Contains(string(out), "ftpgate.service") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	output(t, "systemd-analyze", "security", "--offline=yes", "--threshold=30", "--no-pager", unit)
}

func isStatic(t *testing.T, path string, machine elf.Machine) {
	t.Helper()
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("%s is not static", path)
		}
	}
	if file.Machine != machine {
		t.Errorf("%s is for %s", path, file.Machine)
	}
}

var debLine = regexp.MustCompile(`(?m)^(-\S+) root/root .* \.(/.*)$`)

func debContents(t *testing.T, path string) string {
	t.Helper()
	var lines []string
	for _, m := range debLine.FindAllStringSubmatch(output(t, "dpkg-deb", "--contents", path), -1) {
		lines = append(lines, m[1]+" "+m[2])
	}
	return sorted(lines)
}

func rpmContents(t *testing.T, path string) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(output(t, "rpm", "-qp", "--nosignature", "--queryformat", "[%{FILEMODES:perms} %{FILENAMES} %{FILEUSERNAME}:%{FILEGROUPNAME}\n]", path)) {
		if file, ok := strings.CutSuffix(line, " root:root\n"); ok && file[0] == '-' {
			lines = append(lines, file)
		}
	}
	return sorted(lines)
}

// sorted puts lines in the order of their paths.
func sorted(lines []string) string {
	slices.SortFunc(lines, func(a, b string) int {
		return strings.Compare(a[strings.Index(a, "/"):], b[strings.Index(b, "/"):])
	})
	return "\n" + strings.Join(lines, "\n") + "\n"
}

func digest(t *testing.T, path string) [sha256.Size]byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(content)
}
