//go:build kernel || deploy

package packages

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// commitTime is that of every package of these tests.
const commitTime = "1700000000"

// repository is where the source is.
func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// build runs make package in a source tree, with variables of the environment
// beside the usual ones.
func build(t *testing.T, source, into, version, architectures string, environment ...string) {
	t.Helper()
	// A umask that keeps everything from others must not be in the packages.
	script := fmt.Sprintf("umask 077 && exec make package PACKAGEDIR=%s VERSION=%s SOURCE_DATE_EPOCH=%s ARCHITECTURES='%s'",
		into, version, commitTime, architectures)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Dir, cmd.Env = source, append(os.Environ(), environment...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make package: %v\n%s", err, out)
	}
}

// architectures are Go's names and those of Debian and of rpm.
var architectures = []struct {
	deb, rpm, all string
	machine       elf.Machine
	goarch        string
}{
	{"amd64", "x86_64", "amd64", elf.EM_X86_64, "amd64"},
	{"arm64", "aarch64", "arm64", elf.EM_AARCH64, "arm64"},
	{"armhf", "armv7hl", "armv7", elf.EM_ARM, "arm"},
}

// copySource copies all but what is not source.
func copySource(t *testing.T, from, to string) {
	t.Helper()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains([]string{".git", "bin", "dist"}, e.Name()) {
			output(t, "cp", "-R", filepath.Join(from, e.Name()), to)
		}
	}
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
