package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestCompletion(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"a command":   {[]string{"ch"}, []string{"check\t"}},
		"a flag":      {[]string{"check", "--"}, []string{"--config\t", "--print\t"}},
		"a file":      {[]string{"run", "--config", ""}, []string{"yaml\n", "yml\n", ":8\n"}},
		"a shell":     {[]string{"completion", ""}, []string{"bash\n", "zsh\n", "fish\n"}},
		"no argument": {[]string{"run", ""}, []string{":0\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := command(t, append([]string{"__complete"}, c.args...)...)
			for _, want := range c.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("%q is missing in %q; exit code %d, %s", want, stdout, code, stderr)
				}
			}
		})
	}
}

func TestCompletionScripts(t *testing.T) {
	for shell, word := range map[string]string{"bash": "complete -o default -F __start_ftpgate ftpgate", "zsh": "#compdef ftpgate", "fish": "complete -c ftpgate"} {
		script, stderr, code := command(t, "completion", shell)
		if code != 0 || !strings.Contains(script, word) {
			t.Errorf("%s: exit code %d, %s: no %q in\n%s", shell, code, stderr, word, script)
		}
		if shell != "bash" {
			continue
		}
		file := filepath.Join(t.TempDir(), shell)
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("bash", "-n", file).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	if _, stderr, code := command(t, "completion", "tcsh"); code != 2 || !strings.Contains(stderr, "tcsh") {
		t.Errorf("tcsh: exit code %d, %s", code, stderr)
	}
}

// TestCompleteInterfaces: whichever command has --interface.
func TestCompleteInterfaces(t *testing.T) {
	parent, child := &cobra.Command{Use: "parent"}, &cobra.Command{Use: "child"}
	parent.AddCommand(child)
	child.Flags().String("interface", "", "")
	completeFlags(parent)
	values, ok := child.GetFlagCompletionFunc("interface")
	if !ok {
		t.Fatal("--interface is not completed")
	}
	if names, _ := values(child, nil, ""); !slices.Contains(names, "lo") {
		t.Errorf("%q", names)
	}
}
