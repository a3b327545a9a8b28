// Package dashboards is what Prometheus and Grafana need of ftpgate: alerts with
// their tests, and a dashboard. That they name metrics which there are is tested
// in proxy/status.
package dashboards

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/goccy/go-yaml"
)

// board is what these tests look at in Grafana's JSON.
type board struct {
	SchemaVersion int
	Templating    struct{ List []struct{ Name, Type string } }
	Panels        []panel
}

type panel struct {
	ID         int
	Type       string
	Title      string
	GridPos    struct{ X, Y, W, H int }
	Datasource *source
	Targets    []struct {
		RefID      string
		Datasource *source
		Expr       string
	}
}

type source struct{ Type, UID string }

func readBoard(t *testing.T) (b board) {
	t.Helper()
	text, err := os.ReadFile("grafana.json")
	if err == nil {
		err = json.Unmarshal(text, &b)
	}
	if err != nil || len(b.Panels) == 0 {
		t.Fatalf("%d panels, %v", len(b.Panels), err)
	}
	return b
}

// TestDashboard: it works with any data source, panels have names and do not lie
// on each other.
func TestDashboard(t *testing.T) {
	b := readBoard(t)
	if b.SchemaVersion < 38 || len(b.Templating.List) == 0 || b.Templating.List[0].Name != "datasource" || b.Templating.List[0].Type != "datasource" {
		t.Errorf("schema %d, variables %+v", b.SchemaVersion, b.Templating.List)
	}
	taken, ids := make(map[[2]int]string), make(map[int]bool)
	for _, p := range b.Panels {
		if p.Title == "" || ids[p.ID] {
			t.Errorf("panel %d %q: no title, or an ID that another one has", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, lies := taken[[2]int{x, y}]; lies || x >= 24 {
					t.Fatalf("%q lies on %q, or beside the dashboard", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || p.Datasource == nil || p.Datasource.UID != "${datasource}" {
			t.Errorf("%q shows nothing, or not of the chosen data source", p.Title)
		}
		var letters []string
		for _, target := range p.Targets {
			if target.Datasource == nil || target.Datasource.UID != "${datasource}" || target.Expr == "" || slices.Contains(letters, target.RefID) {
				t.Errorf("%q: %+v", p.Title, target)
			}
			letters = append(letters, target.RefID)
		}
	}
}

// TestAlertsAreTested: each alert is seen to fire and not to fire.
func TestAlertsAreTested(t *testing.T) {
	var alerts struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	var tests struct {
		Tests []struct {
			Alerts []struct {
				Name     string `yaml:"alertname"`
				Expected []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	for file, to := range map[string]any{"alerts.yaml": &alerts, "alerts_test.yaml": &tests} {
		text, err := os.ReadFile(file)
		if err == nil {
			err = yaml.Unmarshal(text, to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	seen := make(map[string]int)
	for _, test := range tests.Tests {
		for _, a := range test.Alerts {
			seen[fmt.Sprint(a.Name, len(a.Expected) > 0)]++
		}
	}
	count := 0
	for _, group := range alerts.Groups {
		for _, a := range group.Rules {
			count++
			if seen[a.Alert+"true"] == 0 || seen[a.Alert+"false"] == 0 {
				t.Errorf("%s is not tested to fire and not to fire", a.Alert)
			}
			if a.Labels["severity"] == "" || a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
				t.Errorf("%s does not say how bad it is and what it means", a.Alert)
			}
		}
	}
	if count == 0 {
		t.Error("there are no alerts, so this test shows nothing")
	}
}
