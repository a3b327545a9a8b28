//go:build kernel

package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
	"github.com/ftpgate/ftpgate/proxy/status"
)

// TestWANAddressChanges: a lease with another address. New sessions use it; those of the former one open nothing any
// more, and their pinholes end.
func TestWANAddressChanges(t *testing.T) {
	eachVariant(t, lab.Options{}, func(t *testing.T, r *router) {
		outside := r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{})
		inside := r.serve(peers.Pyftpdlib(), lab.Server, peers.ServerOptions{})
		r.start(plain)
		client, stranger := r.Host(lab.Client), r.Host(lab.Outside)
		out := login(t, client, "203.0.113.20:21", dialogue.Options{})
		in := login(t, stranger, "203.0.113.1:21", dialogue.Options{Timeout: time.Second})
		if d, err := out.Open(dialogue.PORT); err != nil {
			t.Fatal(err)
		} else {
			defer d.Close()
		}
		if _, err := in.Open(dialogue.PASV); err != nil {
			t.Fatal(err)
		}
		if open := r.gates(); strings.Count(open, "203.0.113.1") < 2 {
			t.Fatalf("the pinholes are %s, so this test shows nothing", open)
		}
		r.run("ip", "address", "del", "203.0.113.1/24", "dev", "wan0")
		r.run("ip", "address", "add", "203.0.113.9/24", "dev", "wan0")
		eventually(t, "the end of the pinholes", func() bool { return r.gates() == "" })
		for _, line := range []string{"PASV", "EPSV", dialogue.Announcement(dialogue.PORT, netip.AddrPortFrom(out.Local().Addr(), 40000))} {
			if _, err := out.Want(425, line); err != nil {
				t.Error(err)
			}
		}
		for _, mode := range dialogue.Modes(false) {
			c := login(t, client, "203.0.113.20:21", dialogue.Options{})
			roundTrip(t, c, mode, outside)
			if mode == dialogue.PORT {
				if told := announced(t, r, c); told.Addr() != netip.MustParseAddr("203.0.113.9") {
					t.Errorf("%s was announced", told)
				}
			}
			r.quit(t, c)
			c = login(t, stranger, "203.0.113.9:21", dialogue.Options{})
			roundTrip(t, c, mode, inside)
			r.quit(t, c)
		}
		r.stop()
	})
}

// TestWANComesAndGoes: an interface that is not there at the start, appears, goes and comes again, as PPP does, and one
// that is called otherwise for a while. Nothing has to be started anew.
func TestWANComesAndGoes(t *testing.T) {
	eachVariant(t, lab.Options{}, func(t *testing.T, r *router) {
		outside := r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{})
		inside := r.serve(peers.Pyftpdlib(), lab.Server, peers.ServerOptions{})
		r.unplug(t)
		r.start(plain)
		r.await(`"finding":"interface-missing"`)
		if r.wanIsThere(t) {
			t.Error("the status shows an interface that is not there")
		}
		for i := range 3 {
			r.plug(t)
			if !r.wanIsThere(t) {
				t.Error("the status does not show the interface")
			}
			r.works(t, outside, inside)
			if strings.Contains(r.daemon.Output(), "repaired") {
				t.Error("something had to be repaired")
			}
			if i == 2 {
				break
			}
			r.unplug(t)
			eventually(t, "a status without the interface", func() bool { return !r.wanIsThere(t) })
		}
		for _, line := range []string{"set wan0 down", "set wan0 name isp0", "set isp0 up"} {
			r.run("ip", append([]string{"link"}, strings.Fields(line)...)...)
		}
		c, err := dialogue.Dial(t.Context(), r.Host(lab.Client), mustAddrPort(t, "203.0.113.20:21"), dialogue.Options{})
		if err != nil || c.Greeting.Code != 421 {
			t.Errorf("by an interface that is on neither side: %v, %v", c.Greeting, err)
		}
		c.Close()
		r.turnedAway(t, "192.168.50.10", "", "no_rule", 1, "no rule for an outbound connection from 192.168.50.10 to 203.0.113.20:21")
		for _, line := range []string{"set isp0 down", "set isp0 name wan0", "set wan0 up"} {
			r.run("ip", append([]string{"link"}, strings.Fields(line)...)...)
		}
		r.works(t, outside, inside)
		r.stop()
	})
}

// TestAdvertisementsAfterReturn: an interface that comes again accepts router advertisements as before.
func TestAdvertisementsAfterReturn(t *testing.T) {
	r := newRouter(t, lab.Options{Bare: true})
	for _, setting := range []string{"net.ipv6.conf.default.accept_ra", "net.ipv6.conf.wan0.accept_ra"} {
		if err := r.Host(lab.Router).SetSysctl(setting, "1"); err != nil {
			t.Fatal(err)
		}
	}
	r.start(plain + fromNothing)
	accepts := func(want string) func() bool {
		return func() bool {
			is, err := r.Host(lab.Router).Sysctl("net.ipv6.conf.wan0.accept_ra")
			return err == nil && is == want
		}
	}
	eventually(t, "accept_ra 2", accepts("2"))
	r.unplug(t)
	r.plug(t)
	eventually(t, "accept_ra 2 of the new interface", accepts("2"))
	r.isGateway(t)
	r.stop()
	if !accepts("1")() {
		t.Error("accept_ra is not what it was")
	}
}

// TestRoutesAreRepairedAtOnce: by the event, not by the next look.
func TestRoutesAreRepairedAtOnce(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.start(plain)
	healthy := ours(r.state())
	rules := func() string {
		return r.run("ip", "rule", "show", "priority", "121") + r.run("ip", "route", "show", "table", "2121")
	}
	before := rules()
	var total time.Duration
	const times = 10
	for range times {
		begin := time.Now()
		r.run("ip", "rule", "del", "priority", "121", "iif", "wan0")
		r.run("ip", "route", "flush", "table", "2121")
		eventually(t, "the repair", func() bool { return rules() == before })
		total += time.Since(begin)
	}
	t.Logf("repaired after %s on average", total/times)
	if total >= times*verifyEvery/2 { // what the periodic look would take on average
		t.Errorf("repaired after %s on average", total/times)
	}
	if now := ours(r.state()); now != healthy {
		t.Errorf("not as before:\n%s", difference(healthy, now))
	}
	r.stop()
}

// works transfers in every mode, in both directions.
func (r *router) works(t *testing.T, outside, inside *peers.Server) {
	t.Helper()
	for _, mode := range dialogue.Modes(false) {
		c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
		roundTrip(t, c, mode, outside)
		r.quit(t, c)
		c = login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{})
		roundTrip(t, c, mode, inside)
		r.quit(t, c)
	}
}

func (r *router) unplug(t *testing.T) {
	t.Helper()
	if err := r.Unplug(lab.Router, lab.WANInterface); err != nil {
		t.Fatal(err)
	}
}

// plug lays the cable again; the hosts outside forget the former hardware address, as they do by themselves after some
// seconds.
func (r *router) plug(t *testing.T) {
	t.Helper()
	if err := r.Plug(lab.Router, lab.WANInterface); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Host(lab.Outside).Run(t.Context(), "ip", "neighbour", "flush", "all"); err != nil {
		t.Fatal(err)
	}
}

func (r *router) wanIsThere(t *testing.T) bool {
	t.Helper()
	for _, i := range read[status.StatusJSON](t, r, "/api/v1/status").Interfaces {
		if i.Name == lab.WANInterface {
			return i.Present
		}
	}
	t.Fatal(fmt.Sprintf("the status does not know %s", lab.WANInterface))
	return false
}
