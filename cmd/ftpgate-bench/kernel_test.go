//go:build kernel

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// built are this program and the daemon, for the hosts of the labs.
var built options

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ftpgate-bench-test-")
	if err == nil {
		built = options{self: filepath.Join(dir, "ftpgate-bench"), ftpgate: filepath.Join(dir, "ftpgate")}
		var out []byte
		out, err = exec.Command("go", "build", "-o", dir, ".", "../ftpgate").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("building the programs: %w\n%s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// TestSoak is a short one, with each backend.
func TestSoak(t *testing.T) {
	for backend := range pinholeRules {
		t.Run(backend, func(t *testing.T) {
			var out strings.Builder
			o := soakOptions{
				options: built, backend: backend,
				sessions: 8, files: 300, every: 250 * time.Millisecond, timeout: time.Minute,
			}
			if err := o.run(t.Context(), &out); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			if !strings.Contains(out.String(), "2400 files in") {
				t.Errorf("it printed\n%s", out.String())
			}
		})
	}
}

// TestRounds: each measurement of a round is possible with all that needs no program of others.
func TestRounds(t *testing.T) {
	o := built
	o.rounds, o.duration = 2, 100*time.Millisecond
	o.only, o.figures = []string{forward, kernel, ftpgateNFT, ftpgateIPT}, groupNames()
	all, err := gather(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := dismiss(all); err != nil {
			t.Error(err)
		}
	}()
	s := newScores()
	if err := rounds(t.Context(), o, all, s); err != nil {
		t.Fatal(err)
	}
	s.derive()
	for _, name := range o.only {
		for _, p := range probes() {
			for quantity, value := range s.values[name] {
				if strings.HasPrefix(quantity, p.key) && (len(value) != o.rounds || value[0] <= 0 || value[1] <= 0) {
					t.Errorf("%s, %s: %v", name, quantity, value)
				}
			}
		}
		if name != forward && len(s.values[name]["added.passive"]) != o.rounds {
			t.Errorf("%s: %v", name, s.values[name])
		}
	}
}
