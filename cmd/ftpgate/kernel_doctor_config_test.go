//go:build kernel

package main

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/cmd/ftpgate/doctor"
	"github.com/ftpgate/ftpgate/deploy/lab"
)

// TestDoctorConfiguration: what a line of the configuration cures, with the line that is printed.
func TestDoctorConfiguration(t *testing.T) {
	for _, c := range []struct {
		id     string
		config string
		wrong  func(t *testing.T, r *router)
	}{
		{"sides-swapped", strings.NewReplacer("lan0", "wan0", "wan0", "lan0").Replace(plain), func(t *testing.T, r *router) {
			r.run("ip", "route", "add", "default", "via", "203.0.113.20")
		}},
		{"listen-port-taken", plain, func(t *testing.T, r *router) { r.occupy(t, 2121) }},
		{"status-port-taken", plain, func(t *testing.T, r *router) { r.occupy(t, 9121) }},
		{"data-ports-taken", plain + "data_ports: 50000-50001\n", func(t *testing.T, r *router) {
			r.occupy(t, 50000)
			r.occupy(t, 50001)
		}},
	} {
		t.Run(c.id, func(t *testing.T) {
			r := newRouter(t, lab.Options{})
			r.write(c.config)
			c.wrong(t, r)
			findings := found(r.doctored(t), c.id, doctor.Fails)
			if len(findings) != 1 {
				t.Fatalf("%s was not found once: %v", c.id, findings)
			}
			line, _, _ := strings.Cut(findings[0].Cure, "#")
			key, _, _ := strings.Cut(line, ":")
			cured := regexp.MustCompile(`(?m)^`+key+`:.*\n`).ReplaceAllString(c.config, "") + line + "\n"
			r.write(cured)
			if report := r.doctored(t); report.Fails || len(found(report, c.id, doctor.Fails)) > 0 {
				t.Errorf("still found with %q: %s", line, summary(report))
			}
			r.start(cured)
			r.stop()
		})
	}
}

// occupy listens at a port of the router until the test ends.
func (r *router) occupy(t *testing.T, port uint16) {
	t.Helper()
	l, err := r.Host(lab.Router).Listen(t.Context(), netip.AddrPortFrom(netip.IPv4Unspecified(), port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

// TestDoctorSpecial: findings whose cure lies outside a virtual router.
func TestDoctorSpecial(t *testing.T) {
	wants := func(t *testing.T, r *router, id string, present bool) {
		t.Helper()
		if report := r.doctored(t); len(found(report, id, doctor.Fails)) > 0 != present {
			t.Errorf("%s is found: %t; %s", id, !present, summary(report))
		}
	}
	t.Run("interface-missing", func(t *testing.T) {
		r := newRouter(t, lab.Options{})
		r.write(strings.Replace(plain, "wan0", "wan9", 1))
		wants(t, r, "interface-missing", true)
		r.run("ip", "link", "add", "wan9", "type", "bridge")
		wants(t, r, "interface-missing", false)
	})
	t.Run("leftovers", func(t *testing.T) {
		for _, backend := range []string{"nftables", "iptables"} {
			r := newRouter(t, lab.Options{})
			r.start(plain + "firewall: {backend: " + backend + "}\n")
			wants(t, r, "leftovers", false)
			r.daemon.Kill()
			wants(t, r, "leftovers", true)
			r.start(plain)
			r.stop()
			wants(t, r, "leftovers", false)
		}
	})
	t.Run("owned-table", func(t *testing.T) {
		r := newRouter(t, lab.Options{})
		r.write(plain + "firewall: {backend: auto}\n")
		owner, err := r.Host(lab.Router).Start("sh", "-c",
			"(echo 'table inet firewalld { flags owner; chain forward { type filter hook forward priority 10; drop; }; }'; sleep 600) | nft -i")
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the owned table", func() bool { return strings.Contains(r.run("nft", "list", "ruleset"), "firewalld") })
		wants(t, r, "owned-table", true)
		wants(t, r, "drop-forward", true)
		owner.Kill()
		eventually(t, "the end of the owned table", func() bool { return !strings.Contains(r.run("nft", "list", "ruleset"), "firewalld") })
		wants(t, r, "owned-table", false)
	})
	t.Run("route-tables", func(t *testing.T) {
		r := newRouter(t, lab.Options{})
		r.write(plain)
		for table := 2121; table <= 2128; table++ {
			r.run("ip", "route", "add", "203.0.113.0/24", "dev", "wan0", "table", fmt.Sprint(table))
		}
		wants(t, r, "route-tables", true)
		r.run("ip", "route", "flush", "table", "2124")
		wants(t, r, "route-tables", false)
	})
	t.Run("capability", func(t *testing.T) {
		r := newRouter(t, lab.Options{})
		r.write(plain)
		out, err := r.Host(lab.Router).Run(t.Context(), "setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin",
			gatewayBinary, "doctor", "--config", r.config)
		if err == nil || !strings.Contains(out, "CAP_NET_ADMIN is missing") || !strings.Contains(out, "unchecked") {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("without programs", func(t *testing.T) {
		r := newRouter(t, lab.Options{})
		// Not by write: the backend iptables cannot do without its program, and doctor says so.
		if err := os.WriteFile(r.config, []byte(plain), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := r.Host(lab.Router).Command(t.Context(), "unshare", "-m", "sh", "-c",
			"mount -t tmpfs none /usr/sbin && "+gatewayBinary+" doctor --config "+r.config)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "the program nft is missing") || strings.Contains(string(out), "FTP should work") {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("bad configuration", func(t *testing.T) {
		r := newRouter(t, lab.Options{})
		r.write(strings.Replace(plain, "outbound", "outwards", 1))
		cmd := r.Host(lab.Router).Command(t.Context(), gatewayBinary, "doctor", "--config", r.config)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(string(out), "outwards") {
			t.Errorf("exit %d: %s", code, out)
		}
	})
}
