//go:build kernel

package main

import (
	"testing"

	"github.com/ftpgate/ftpgate/cmd/ftpgate/doctor"
	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// TestForeignMarks: hosts mark packets for their own ends, with every bit, and restore and save the marks of connections.
// Neither hinders FTP, and doctor raises no alarm.
func TestForeignMarks(t *testing.T) {
	const restore = "iptables-nft -t mangle -A PREROUTING -j CONNMARK --restore-mark"
	for _, c := range []struct {
		name  string
		rules []string
	}{
		{"marks are set", []string{"iptables-nft -t mangle -A PREROUTING -j MARK --set-mark 1"}},
		{"marks are restored", []string{restore}},
		{"marks of several WANs", []string{
			restore,
			"iptables-nft -t mangle -A PREROUTING -m mark ! --mark 0 -j ACCEPT",
			"iptables-nft -t mangle -A PREROUTING -i wan0 -m conntrack --ctstate NEW -j MARK --set-mark 2",
			"iptables-nft -t mangle -A PREROUTING -j CONNMARK --save-mark",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRouter(t, lab.Options{})
			outside, server := r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{}), r.serve(peers.Pyftpdlib(), lab.Server, peers.ServerOptions{})
			r.each(t, r.Host(lab.Router), c.rules)
			r.start(plain)
			for _, mode := range dialogue.Modes(false) {
				out := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
				roundTrip(t, out, mode, outside)
				r.quit(t, out)
				in := login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{})
				roundTrip(t, in, mode, server)
				r.quit(t, in)
			}
			report := r.doctored(t)
			for _, check := range report.Checks {
				for _, f := range check.Findings {
					if f.Severity != doctor.Notes {
						t.Errorf("a false alarm: %+v", f)
					}
				}
			}
			r.stop()
		})
	}
}
