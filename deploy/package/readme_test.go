//go:build deploy

package packages

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
)

// fiveMinutes is the section of the README that the next test does, word for word.
const fiveMinutes = "Five minutes to a working router"

// typed is a command of the README: on which host, and what the reader is shown there.
type typed struct {
	host, line string
	shown      []string
}

// prompts say on which host of the lab a command is typed.
var prompts = map[string]string{"router": lab.Router, "client": lab.Client, "outside": lab.Outside}

var prompt = regexp.MustCompile(`^(\w+)[#$] (.+)$`)

// question is a line that the program waits behind, with the answer of the README.
var question = regexp.MustCompile(`^(.*(?:\? \[Y/n\]|\(Enter: none\):))(?: (.*))?$`)

// commands are those of the console blocks of a section, in their order.
func commands(t *testing.T, text, section string) (all []typed) {
	t.Helper()
	_, text, found := strings.Cut(text, "\n## "+section+"\n")
	if !found {
		t.Fatalf("the README has no section %q", section)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	inside := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch m := prompt.FindStringSubmatch(line); {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case !inside:
		case m != nil:
			host, known := prompts[m[1]]
			if !known {
				t.Fatalf("the README types on a host %q", m[1])
			}
			all = append(all, typed{host: host, line: m[2]})
		case len(all) == 0:
			t.Fatalf("the README shows %q before any command", line)
		default:
			all[len(all)-1].shown = append(all[len(all)-1].shown, line)
		}
	}
	return all
}

// TestREADME does what the README says and nothing else, and has a gateway then for every flow. Its addresses and interfaces
// are those of the lab; the package is one for this machine's processor.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	path := commands(t, string(text), fiveMinutes)
	if len(path) < 4 {
		t.Fatalf("the README's section has %d commands only: %+v", len(path), path)
	}
	g := newGateway(t, lab.Options{Filter: lab.FilterBare})
	g.isOnline(t)
	rules := g.state()
	deb, err := os.ReadFile(g.new)
	if err != nil {
		t.Fatal(err)
	}
	g.write(filepath.Join("root", filepath.Base(g.new)), string(deb))
	for _, c := range path {
		g.types(t, c)
	}
	g.ready()
	if enabled := g.must("systemctl", "is-enabled", "ftpgate.service"); enabled != "enabled\n" {
		t.Errorf("the unit is %s", enabled)
	}
	g.transferInAllFlows(t)
	g.must("apt-get", "--yes", "purge", "ftpgate")
	g.sameRules(t, rules)
}

// isOnline gives the router the default route that every router has, by which its WAN is known.
func (g *gateway) isOnline(t *testing.T) {
	t.Helper()
	if _, err := g.Host(lab.Router).Run(t.Context(), "ip", "route", "add", "default", "via", g.Host(lab.Outside).IPv4().String()); err != nil {
		t.Fatal(err)
	}
}

// types gives a command to a shell on a terminal of its host, answers as the README does, and holds what is shown against it.
func (g *gateway) types(t *testing.T, c typed) {
	t.Helper()
	line := strings.ReplaceAll(c.line, "_amd64.deb", "_"+runtime.GOARCH+".deb")
	ctx, cancel := context.WithTimeout(t.Context(), bootTime)
	defer cancel()
	var shell *exec.Cmd
	if c.host == lab.Router {
		shell = g.command(ctx, "sh", "-c", "cd /root && "+line)
	} else {
		shell = g.Host(c.host).Command(ctx, "sh", "-c", line)
	}
	var answers []lab.Answer
	for _, expected := range c.shown {
		if m := question.FindStringSubmatch(expected); m != nil {
			answers = append(answers, lab.Answer{Question: m[1], Text: m[2]})
		}
	}
	shown, err := lab.Converse(shell, answers...)
	if t.Logf("%s# %s\n%s", c.host, line, shown); err != nil {
		t.Fatalf("the README's %q: %v", c.line, err)
	}
	rest := shown
	for _, expected := range c.shown {
		_, after, found := strings.Cut(rest, expected)
		if !found {
			t.Errorf("the README's %q does not show %q", c.line, expected)
			continue
		}
		rest = after
	}
}
