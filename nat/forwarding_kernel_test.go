//go:build kernel

package nat

import (
	"path/filepath"
	"strings"
	"testing"
)

// forwardingState is everything that forwarding touches.
func (h *host) forwardingState(t *testing.T) string {
	t.Helper()
	var state string
	h.do(t, func() {
		var lines []string
		for _, pattern := range []string{"ipv4/ip_forward", "ipv4/conf/*/forwarding", "ipv4/conf/*/accept_redirects", "ipv6/conf/*/forwarding", "ipv6/conf/*/accept_ra"} {
			paths, err := filepath.Glob(settingsOfNet + pattern)
			must(t, err)
			for _, path := range paths {
				lines = append(lines, strings.TrimPrefix(path, settingsOfNet)+" "+readFile(t, path))
			}
		}
		state = strings.Join(lines, "\n")
	})
	return state
}

func (h *host) is(t *testing.T, what string, settings map[string]string) {
	t.Helper()
	for key, want := range settings {
		h.do(t, func() {
			if now := readFile(t, "/proc/sys/"+key); now != want {
				t.Errorf("%s: %s is %s, want %s", what, key, now, want)
			}
		})
	}
}

// bareHost has odd settings of all that forwarding touches, and does not forward.
func bareHost(t *testing.T) *host {
	h := newHost(t, "router")
	h.run(t, "ip link add wan0 type bridge; ip link add wan1 type bridge; ip link add lan0 type bridge; ip link set wan0 up")
	for _, setting := range []string{
		"net.ipv4.ip_forward 0", "net.ipv6.conf.all.forwarding 0", "net.ipv4.conf.all.accept_redirects 0",
		"net.ipv4.conf.lan0.forwarding 1", "net.ipv6.conf.lan0.forwarding 1", "net.ipv6.conf.wan0.accept_ra 1", "net.ipv6.conf.wan1.accept_ra 0",
	} {
		key, value, _ := strings.Cut(setting, " ")
		h.sysctl(t, key, value)
	}
	return h
}

var whileForwarding = map[string]string{
	"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1", "net/ipv6/conf/wan0/forwarding": "1",
	"net/ipv6/conf/wan0/accept_ra": "2", "net/ipv6/conf/wan1/accept_ra": "0", "net/ipv6/conf/lan0/accept_ra": "1",
}

// TestForwarding: it is turned on and everything is as it was afterwards, also what the kernel itself changes beside.
func TestForwarding(t *testing.T) {
	h := bareHost(t)
	before := h.forwardingState(t)
	f := &Forwarding{Settings: Settings{Dir: filepath.Join(t.TempDir(), "notes")}, IPv6: true}
	wan := []string{"wan0", "wan1", "wan9"}
	h.do(t, func() { must(t, f.Hold(wan)) })
	h.is(t, "held", whileForwarding)

	// An interface goes and comes again, as PPP does: it accepts advertisements no more.
	h.run(t, "ip link del wan0; ip link add wan0 type bridge; ip link set wan0 up")
	h.is(t, "come again", map[string]string{"net/ipv6/conf/wan0/accept_ra": "1", "net/ipv6/conf/wan0/forwarding": "1"})
	h.do(t, func() { must(t, f.Hold(wan)) })
	h.is(t, "held again", whileForwarding)

	for range 2 {
		h.do(t, func() { must(t, f.Release()) })
		if after := h.forwardingState(t); after != before {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
	}
	if exists(f.Settings.Dir) {
		t.Errorf("%s is still there", f.Settings.Dir)
	}
}

// TestForwardingOfOthers: what was on already stays on, and what others change meanwhile stays as they want it.
func TestForwardingOfOthers(t *testing.T) {
	h := bareHost(t)
	h.sysctl(t, "net.ipv4.ip_forward", "1")
	f := &Forwarding{Settings: Settings{Dir: filepath.Join(t.TempDir(), "notes")}, IPv6: true}
	h.do(t, func() { must(t, f.Hold([]string{"wan0"})) })
	h.sysctl(t, "net.ipv6.conf.wan1.forwarding", "0")
	h.sysctl(t, "net.ipv6.conf.wan0.accept_ra", "0")
	h.run(t, "ip link del lan0")
	h.do(t, func() { must(t, f.Release()) })
	h.is(t, "released", map[string]string{
		"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "0", "net/ipv6/conf/wan1/forwarding": "0", "net/ipv6/conf/wan0/accept_ra": "0",
	})
	h.do(t, func() { must(t, f.Hold(nil)) })
	h.sysctl(t, "net.ipv6.conf.all.forwarding", "0")
	h.do(t, func() { must(t, f.Release()) })
	h.is(t, "turned off by another program", map[string]string{"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "0"})
}

// TestForwardingAfterACrash: the next process puts back what the first one has found, whether or not it wants to forward.
func TestForwardingAfterACrash(t *testing.T) {
	for _, again := range []bool{true, false} {
		h := bareHost(t)
		before := h.forwardingState(t)
		settings := Settings{Dir: filepath.Join(t.TempDir(), "notes")}
		h.do(t, func() {
			must(t, (&Forwarding{Settings: settings, IPv6: true}).Hold([]string{"wan0"})) // and never releases
			next := &Forwarding{Settings: settings, IPv6: true}
			if again {
				must(t, next.Hold([]string{"wan0"}))
			}
			must(t, next.Release())
		})
		if after := h.forwardingState(t); after != before {
			t.Errorf("again %t: before:\n%s\nafter:\n%s", again, before, after)
		}
		if exists(settings.Dir) {
			t.Errorf("%s is still there", settings.Dir)
		}
	}
}
