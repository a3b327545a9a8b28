package ftpgate

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// arrows are the rooms of the house and what each may import of the others.
// What is absent is the point: see ARCHITECTURE.md.
var arrows = map[string][]string{
	"cmd/ftpgate":           {"cmd/ftpgate/doctor", "cmd/ftpgate/setup", "configs", "proxy", "proxy/audit", "proxy/policy", "proxy/status", "proxy/trace", "nat", "firewall", "firewall/iptables", "firewall/nftables"},
	"cmd/ftpgate/setup":     {},
	"cmd/ftpgate/doctor":    {"configs", "nat", "firewall", "firewall/iptables", "firewall/nftables"},
	"configs":               {},
	"proxy":                 {"proxy/ftp", "proxy/policy", "nat", "firewall"},
	"proxy/ftp":             {},
	"proxy/trace":           {"proxy/ftp"},
	"proxy/policy":          {},
	"proxy/audit":           {"proxy"},
	"proxy/status":          {"proxy", "nat", "firewall", "proxy/status/page"},
	"proxy/status/page":     {},
	"nat":                   {},
	"firewall":              {},
	"firewall/iptables":     {"firewall"},
	"firewall/nftables":     {"firewall", "firewall/iptables"},
	"firewall/firewalltest": {"firewall"},
	"cmd/ftpgate-demo":      {"deploy/lab", "deploy/lab/dialogue", "deploy/lab/peers", "deploy/lab/traffic"},
	"cmd/ftpgate-bench":     {"deploy/lab", "deploy/lab/peers"},
	"deploy/dashboards":     {},
	"deploy/package":        {},
	"deploy/lab":            {},
	"deploy/lab/browser":    {},
	"deploy/lab/guests":     {},
	"deploy/lab/peers":      {"deploy/lab", "deploy/lab/dialogue"},
	"deploy/lab/dialogue":   {},
	"deploy/lab/traffic":    {"deploy/lab", "deploy/lab/dialogue", "deploy/lab/peers"},
}

func TestArrows(t *testing.T) {
	const module = "github.com/ftpgate/ftpgate"
	out, err := exec.Command("go", "list", "-tags", "kernel", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var room struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&room); err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(room.ImportPath, module), "/")
		if name == "" {
			continue // this test
		}
		allowed, known := arrows[name]
		if !known {
			t.Errorf("%s is a new room: draw its arrows here and in ARCHITECTURE.md", name)
		}
		for _, i := range room.Imports {
			if to, ours := strings.CutPrefix(i, module+"/"); ours && !slices.Contains(allowed, to) {
				t.Errorf("%s must not import %s", name, to)
			}
		}
	}
}
