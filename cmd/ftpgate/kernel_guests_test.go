//go:build kernel

package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/cmd/ftpgate/doctor"
	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/guests"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// owners are those that doctor names beside each guest; who writes rules by hand is not named.
var owners = map[string]string{
	"docker": "owner-docker", "docker28": "owner-docker", "firewalld": "owner-firewalld", "firewalld-iptables": "owner-firewalld",
	"libvirt": "owner-libvirt", "libvirt-nft": "owner-libvirt", "ufw": "owner-ufw",
}

// native are those that close a chain in which no rule of iptables can stand.
var native = []string{"firewalld", "handmade"}

// TestGuests: beside the rules of each other program transfers pass in both directions, a session outlives their reload, the next
// pinhole is open at once, and doctor knows the program and gives no alarm. deploy/package has the programs themselves.
func TestGuests(t *testing.T) {
	for _, name := range guests.Names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRouter(t, lab.Options{Bare: true})
			load := func() { r.run("sh", "-ec", guests.Script(name)) }
			r.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv6.conf.default.forwarding=1")
			if strings.HasPrefix(name, "docker") || strings.HasPrefix(name, "libvirt") { // they have no rules for others
				r.run("sh", "-ec", "iptables -t nat -A POSTROUTING -s 192.168.50.0/24 -o wan0 -j MASQUERADE; iptables -P FORWARD DROP; ip6tables -P FORWARD DROP")
			}
			load()
			load()
			before := r.state()
			outside := r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{Passive: passiveRange})
			inside := r.serve(peers.Vsftpd(), lab.Server, peers.ServerOptions{Passive: passiveRange})
			config := plain
			if slices.Contains(native, name) {
				config += "firewall: {backend: nftables}\n"
			}
			r.write(config)
			r.recognizes(t, name)
			r.start(config)
			out := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
			in := login(t, r.Host(lab.Outside), "[2001:db8:113::1]:21", dialogue.Options{})
			for range 2 {
				roundTrip(t, out, dialogue.PASV, outside)
				roundTrip(t, in, dialogue.EPSV, inside)
				roundTrip(t, out, dialogue.PORT, outside)
				roundTrip(t, in, dialogue.EPRT, inside)
				r.recognizes(t, name)
				load()
			}
			r.stop()
			load()
			if after := r.state(); after != before {
				t.Errorf("traces are left:\n%s", difference(before, after))
			}
		})
	}
}

func (r *router) recognizes(t *testing.T, name string) {
	t.Helper()
	report := r.doctored(t)
	known := owners[name] == ""
	for _, c := range report.Checks {
		for _, f := range c.Findings {
			known = known || f.ID == owners[name]
			if f.Severity != doctor.Notes {
				t.Errorf("%s: %s", f.ID, f)
			}
		}
	}
	if !known {
		t.Errorf("doctor does not name the owner: %s", summary(report))
	}
}
