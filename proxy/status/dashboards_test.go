package status

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestDashboardsNameRealMetrics: what deploy/dashboards asks for there is, with
// the labels that it names.
func TestDashboardsNameRealMetrics(t *testing.T) {
	labels := metricLabels(t)
	used := make(map[string]bool)
	series := regexp.MustCompile(`\b(ftpgate_[a-z_]+)(?:\{([^}]*)\})?`)
	matcher := regexp.MustCompile(`([a-z_]+) ?(?:=~|!~|!=|=)\s*\\?"`)
	for _, file := range []string{"grafana.json", "alerts.yaml", "alerts_test.yaml"} {
		text, err := os.ReadFile("../../deploy/dashboards/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range series.FindAllSubmatch(text, -1) {
			name := string(found[1])
			known, ok := labels[name]
			if !ok {
				t.Errorf("%s: there is no metric %s", file, name)
			}
			used[name] = true
			for _, m := range matcher.FindAllSubmatch(found[2], -1) {
				if label := string(m[1]); label != "instance" && !slices.Contains(known, label) {
					t.Errorf("%s: %s has no label %s", file, name, label)
				}
			}
		}
	}
	for name := range labels {
		if !used[name] && !strings.HasSuffix(name, "_sum") && !strings.HasSuffix(name, "_count") { // of the histogram
			t.Errorf("nothing in deploy/dashboards shows %s", name)
		}
	}
}

// metricLabels are the names of all series with their labels.
func metricLabels(t *testing.T) map[string][]string {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{newFake(3)})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]string)
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		if f.GetMetric()[0].GetHistogram() == nil {
			all[f.GetName()] = labels
			continue
		}
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			all[f.GetName()+suffix] = append(labels, "le")
		}
	}
	return all
}
