//go:build kernel

package dashboards

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// promtool is Prometheus' own checker, which deploy/lab/install.sh unpacks.
func promtool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path, err := peers.CachePath("prometheus/usr/bin/promtool")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	return string(out), err
}

func TestAlerts(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", "--lint=all", "--lint-fatal", "alerts.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		if out, err := promtool(t, args...); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestAlertTestsCanFail: with an alert that fires later they do.
func TestAlertTestsCanFail(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"alerts.yaml", "alerts_test.yaml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Replace(string(text), "for: 1m", "for: 1h", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := promtool(t, "test", "rules", filepath.Join(dir, "alerts_test.yaml"))
	if err == nil || !strings.Contains(out, "FtpgateNotReady") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestDashboardQueries: Prometheus can read every one.
func TestDashboardQueries(t *testing.T) {
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	type group struct {
		Name  string `yaml:"name"`
		Rules []rule `yaml:"rules"`
	}
	queries := group{Name: "dashboard"}
	filled := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$rule", ".*")
	for _, p := range readBoard(t).Panels {
		for i, target := range p.Targets {
			queries.Rules = append(queries.Rules, rule{fmt.Sprintf("panel:%d:%d", p.ID, i), filled.Replace(target.Expr)})
		}
	}
	check := func(g group) (string, error) {
		text, err := yaml.Marshal(map[string]any{"groups": []group{g}})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "queries.yaml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return promtool(t, "check", "rules", file)
	}
	if out, err := check(queries); err != nil || !strings.Contains(out, fmt.Sprint(len(queries.Rules), " rules found")) {
		t.Errorf("%v\n%s", err, out)
	}
	queries.Rules[0].Expr += ")"
	if out, err := check(queries); err == nil {
		t.Errorf("promtool takes a parenthesis that was not opened, so this test shows nothing: %s", out)
	}
}
