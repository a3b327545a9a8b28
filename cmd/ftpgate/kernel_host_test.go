//go:build kernel

package main

import (
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
)

// TestHostWarnings: what keeps data from passing although every rule is good
// is said at the start, and at a reload that brings it about.
func TestHostWarnings(t *testing.T) {
	r := newRouter(t, lab.Options{})
	for _, setting := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
		if err := r.Host(lab.Router).SetSysctl(setting, "0"); err != nil {
			t.Fatal(err)
		}
	}
	r.start(plain)
	for _, want := range []string{"sysctl -w net.ipv4.ip_forward=1", "sysctl -w net.ipv6.conf.all.forwarding=1"} {
		r.await(want)
	}
	const missing = "interface-missing"
	if strings.Contains(r.daemon.Output(), missing) {
		t.Error("an interface is missed that is there")
	}
	r.reloadWith(t, strings.Replace(plain, "wan0", "wan9", 1))
	r.await(missing)
	r.stop()
}

// TestPrivileges: who may not do it is told so, first and plainly.
func TestPrivileges(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.write(plain)
	out, err := r.Host(lab.Router).Run(t.Context(), "setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin",
		gatewayBinary, "run", "--config", r.config)
	if err == nil || !strings.Contains(out, "for want of CAP_NET_ADMIN: run ftpgate as root") {
		t.Errorf("%v: %s", err, out)
	}
}
