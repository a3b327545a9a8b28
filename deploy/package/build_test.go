//go:build kernel || deploy

package packages

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
