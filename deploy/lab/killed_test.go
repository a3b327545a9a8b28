//go:build kernel

package lab_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
)

// killedLab, in the environment, makes this test program one that builds a lab with a server and waits to be killed.
const killedLab = "FTPGATE_TEST_KILLED_LAB"

func TestMain(m *testing.M) {
	if os.Getenv(killedLab) == "" {
		os.Exit(m.Run())
	}
	l, err := lab.New(context.Background(), lab.Options{Name: "labtest"})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	p, err := l.Host(lab.Server).Start("sleep", "1000")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(l.Prefix(), p.PID())
	select {}
}

// TestKilled kills a process that has a lab, and sees the lab's namespaces and processes go.
func TestKilled(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), killedLab+"=1")
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var prefix string
	var pid int
	if _, err := fmt.Fscan(output, &prefix, &pid); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	deadline := time.Now().Add(10 * time.Second)
	for {
		left, err := filepath.Glob("/run/netns/" + prefix + "-*")
		if err != nil {
			t.Fatal(err)
		}
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		gone := err != nil || strings.Contains(string(state), ") Z ")
		if len(left) == 0 && gone {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %v, process %d: %s", left, pid, state)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
