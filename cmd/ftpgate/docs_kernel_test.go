//go:build kernel

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/configs"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// TestManPages: mandoc has nothing to say about them, they tell of every key, and
// they bear the date of the source alone.
func TestManPages(t *testing.T) {
	mandoc, err := peers.CachePath("mandoc/usr/bin/mandoc")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command("go", "run", "-tags", "docs", ".", "docs", dir)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"ftpgate.1", "ftpgate-run.1", "ftpgate-check.1", "ftpgate-status.1", "ftpgate-completion.1", "ftpgate-version.1", "ftpgate.yaml.5"} {
		if _, err := os.Stat(filepath.Join(dir, "man", name)); err != nil {
			t.Error(err)
		}
	}
	pages, err := filepath.Glob(filepath.Join(dir, "man", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil || !bytes.Contains(text, []byte(`"2023-11-14"`)) {
			t.Errorf("%s: %v, without the date in\n%s", page, err, text)
		}
		out, err := exec.Command(mandoc, "-T", "lint", "-W", "warning", page).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%v\n%s", err, out)
		}
	}
	text, err := exec.Command(mandoc, "-T", "ascii", "-O", "width=1000", filepath.Join(dir, "man/ftpgate.yaml.5")).Output()
	if err != nil {
		t.Fatal(err)
	}
	shown := string(unstruck(text))
	for _, key := range configs.Keys() {
		for _, want := range []string{key.Path, key.Meaning, key.Inbound} {
			if !strings.Contains(shown, want) {
				t.Errorf("%q is not in ftpgate.yaml.5", want)
			}
		}
	}
	if !strings.Contains(shown, "preserve_client_address: false\n") {
		t.Error("the example is not in ftpgate.yaml.5")
	}
}

// unstruck takes out how a terminal of paper shows bold and underlined letters.
func unstruck(text []byte) []byte {
	var plain []byte
	for _, b := range text {
		if b == '\b' {
			plain = plain[:len(plain)-1]
			continue
		}
		plain = append(plain, b)
	}
	return plain
}
