package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// setupTimeout bounds each program that New and Close run. They need milliseconds; on a machine that is short of
// processors, tens of them.
const setupTimeout = 20 * time.Second

// namespaceDir is where iproute2 keeps named namespaces.
const namespaceDir = "/run/netns"

// newPrefix draws the beginning of a lab's namespace names: the process is in it, for people who look at a list of
// them, and a random part, so that one process may have several labs.
func newPrefix(name string) string {
	return fmt.Sprintf("%s-%d-%s", name, os.Getpid(), strings.ToLower(rand.Text()[:4]))
}

// removeNamespaces deletes all namespaces of one lab, by what is there rather than by what was planned.
func removeNamespaces(prefix string) error {
	paths, err := filepath.Glob(filepath.Join(namespaceDir, prefix+"-*"))
	if err != nil || len(paths) == 0 {
		return err
	}
	var batch strings.Builder
	for _, path := range paths {
		fmt.Fprintf(&batch, "netns delete %s\n", filepath.Base(path))
	}
	return run(context.Background(), batch.String(), "ip", "-force", "-batch", "-")
}

// run executes a program in the namespace of the caller with a text as its input. Its error holds what it printed.
func run(ctx context.Context, input, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(output))
	}
	return nil
}
