//go:build kernel

package nftables_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/firewall"
)

// TestFollowsTheHost: a firewall that comes, or changes, while we run gets lines and chains too.
func TestFollowsTheHost(t *testing.T) {
	for _, step := range []struct{ does, shows string }{
		{"nft 'table inet late { chain f { type filter hook forward priority 0; policy drop; }; }'", "nft list chain inet late f"},
		{"iptables-nft -P FORWARD DROP", "iptables-nft -S FORWARD"},
		{"iptables-legacy -A FORWARD -j DROP", "iptables-legacy -S FORWARD"},
		{"ip6tables-legacy -P INPUT DROP", "ip6tables-legacy -S INPUT"},
	} {
		inNamespace(t, func() {
			b := backend(t)
			must(t, b.Install(testFrame()))
			sh(t, step.does)
			found, err := b.Verify(nil)
			must(t, err)
			if shown := sh(t, step.shows); len(found.Followed) == 0 || len(found.Repaired) > 0 || !strings.Contains(strings.ToLower(shown), "ftpgate") {
				t.Errorf("after %s: %q, and the host shows\n%s", step.does, found, shown)
			}
			for range 2 { // what iptables wrote is looked at once more
				found, err = b.Verify(nil)
				if must(t, err); found.Any() {
					t.Errorf("a second look after %s: %q", step.does, found)
				}
			}
			must(t, b.Remove())
			if left := strings.ToLower(sh(t, "nft list ruleset; iptables-legacy-save; ip6tables-legacy-save")); strings.Contains(left, "ftpgate") {
				t.Errorf("after %s left:\n%s", step.does, left)
			}
		})
	}
}

// TestOpensBehindAReload: a pinhole is not open before what another program has taken away is back, and one that is spent does
// not come back with it, be it shut for the new one or waiting to be.
func TestOpensBehindAReload(t *testing.T) {
	const native = "nft 'table inet host { chain f { type filter hook forward priority 0; policy drop; }; }'"
	for _, reload := range []string{
		"nft delete table inet host; " + native,
		"iptables-nft -F INPUT; iptables-nft -F FTPGATE-INPUT; iptables-nft -X FTPGATE-INPUT",
		"nft flush ruleset; " + native + "; iptables-nft -P INPUT DROP",
		"nft delete table ip ftpgate",
	} {
		inNamespace(t, func() {
			sh(t, native+"; iptables-nft -P INPUT DROP")
			events := monitor(t)
			m := manager(t, testFrame())
			stays, gone, replaced := open(t, m, 1), open(t, m, 2), open(t, m, 3)
			six, err := m.Open(t.Context(), testHole6(4).Pinhole)
			must(t, err)
			gone.Used()
			replaced.Used()
			six.Used()
			other := replaced.Hole().Pinhole // cannot stand beside it
			other.Target = netip.MustParseAddrPort("10.0.0.9:9")
			sh(t, reload)
			again, err := m.Open(t.Context(), other)
			must(t, err)
			for _, line := range []string{"nft list chain inet host f | grep 0x47000000", "iptables-nft -S INPUT | grep FTPGATE-INPUT"} {
				sh(t, line)
			}
			shown := sh(t, "nft list ruleset")
			for _, l := range []*firewall.Lease{stays, again} {
				if !strings.Contains(shown, comment(l)) {
					t.Errorf("after %s: %q is missing", reload, comment(l))
				}
			}
			if s := m.Stats(); s.LastError != "" {
				t.Errorf("after %s: %s", reload, s.LastError)
			}
			must(t, m.Stop())
			told := events()
			for _, l := range []*firewall.Lease{gone, replaced, six} {
				if n := len(added(told, l)); n != 1 {
					t.Errorf("after %s: %q was put in place %d times:\n%s", reload, comment(l), n, strings.Join(added(told, l), "\n"))
				}
			}
		})
	}
}

// TestOpensAmidReloads: while another program writes its rules again and again, each time in several transactions, a
// pinhole comes into the kernel behind our line or not at all.
func TestOpensAmidReloads(t *testing.T) {
	inNamespace(t, func() {
		events := monitor(t)
		frame := testFrame()
		frame.Gateway.Forward = false // its guard follows the host's rules, and nft monitor does not follow the guard
		opened := openAmidReloads(t, manager(t, frame))
		drops, line, seen := false, false, 0
		for event := range strings.Lines(events()) {
			switch {
			case strings.HasPrefix(event, "delete table inet host"):
				drops, line = false, false
			case strings.HasPrefix(event, "add chain inet host f"):
				drops = true
			case strings.Contains(event, " rule inet host f") && strings.Contains(event, "0x47000000"):
				line = !strings.HasPrefix(event, "delete")
			case strings.HasPrefix(event, "create element ip ftpgate open"):
				if seen++; drops && !line {
					t.Errorf("while the host drops what it forwards: %s", event)
				}
			}
		}
		if opened == 0 || seen < opened {
			t.Errorf("%d opened, nft monitor tells of %d", opened, seen)
		}
	})
	inNamespace(t, func() { // the guard comes and goes with the host's chain, between a look and the next
		m := manager(t, testFrame())
		if openAmidReloads(t, m) == 0 {
			t.Error("none opened")
		}
	})
}

func openAmidReloads(t *testing.T, m *firewall.Manager) (opened int) {
	program := exec.Command("/bin/sh", "-c", `while :; do
		nft 'table inet host { chain f { type filter hook forward priority 0; policy drop; }; }'
		nft add rule inet host f tcp dport 99 accept
		nft add rule inet host f tcp dport 98 accept
		nft delete table inet host
	done`)
	must(t, program.Start())
	for i := range 150 {
		l, err := m.Open(t.Context(), testHole(uint64(i)).Pinhole)
		switch {
		case err == nil:
			opened++
			l.Release()
		case !errors.Is(err, firewall.ErrChanged):
			t.Error(err)
		}
		if why := m.Stats().LastError; strings.Contains(why, "reading our table back") {
			t.Fatal(why)
		}
		time.Sleep(time.Millisecond)
	}
	must(t, program.Process.Kill())
	program.Wait()
	must(t, m.Stop())
	return opened
}

// monitor returns what nft monitor tells from now on, in the kernel's order.
func monitor(t *testing.T) (events func() string) {
	t.Helper()
	told := filepath.Join(t.TempDir(), "events")
	file, err := os.Create(told)
	must(t, err)
	defer file.Close()
	nft := exec.Command("nft", "monitor")
	nft.Stdout, nft.Stderr = file, file
	must(t, nft.Start())
	read := func(mark string) string { // everything up to a table of that name
		for range 500 {
			sh(t, "nft add table inet "+mark+"; nft delete table inet "+mark)
			text, err := os.ReadFile(told)
			if must(t, err); strings.Contains(string(text), "add table inet "+mark) {
				return string(text)
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatal("nft monitor tells nothing")
		return ""
	}
	read("begin")
	return func() string {
		t.Helper()
		all := read("done")
		must(t, nft.Process.Kill())
		nft.Wait()
		if strings.Contains(all, "rror") {
			t.Errorf("nft monitor: %s", all)
		}
		return all
	}
}

func comment(l *firewall.Lease) string { return fmt.Sprintf("ftpgate %d session", l.Hole().ID) }

// added are the events by which the pinhole's gate came into the kernel.
func added(events string, l *firewall.Lease) (lines []string) {
	for event := range strings.Lines(events) {
		if strings.HasPrefix(event, "create element ip") && strings.Contains(event, " ftpgate open") && strings.Contains(event, comment(l)) {
			lines = append(lines, event)
		}
	}
	return lines
}

// TestFlushRuleset: table, lines, chains and open pinholes come back with one Verify.
func TestFlushRuleset(t *testing.T) {
	inNamespace(t, func() {
		const native = "nft 'table inet host { chain f { type filter hook forward priority 0; policy drop; }; }'"
		sh(t, native+"; iptables-nft -P INPUT DROP")
		b := backend(t)
		must(t, b.Install(testFrame()))
		open := []firewall.Hole{testHole(1), testHole6(2), testHole(3)}
		must(t, b.Apply(open, nil))
		before := listing(t)
		sh(t, "nft flush ruleset; "+native+"; iptables-nft -P INPUT DROP")
		found, err := b.Verify(open)
		must(t, err)
		if len(found.Repaired) == 0 || len(found.Followed) > 0 { // the chains of the host are the same ones for us
			t.Errorf("%q", found)
		}
		if after := listing(t); after != before {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
		must(t, b.Apply(nil, open))
		must(t, b.Remove())
	})
}

// TestLayersEnd: pinholes for one connection are many, but not without end.
func TestLayersEnd(t *testing.T) {
	inNamespace(t, func() {
		b := backend(t)
		must(t, b.Install(testFrame()))
		var holes []firewall.Hole
		for i := range 64 {
			h := testHole(1)
			h.ID = uint64(1 + i)
			holes = append(holes, h)
		}
		must(t, b.Apply(holes, nil))
		more := testHole(1)
		more.ID = 100
		if err := b.Apply([]firewall.Hole{testHole(2), more}, nil); !errors.Is(err, firewall.ErrTooMany) {
			t.Errorf("one too many: %v", err)
		}
		found, err := b.Verify(holes)
		if must(t, err); found.Any() {
			t.Errorf("%q", found)
		}
		must(t, b.Remove())
	})
}

// TestEndedByItself: shutting what the kernel has ended, or somebody deleted, is no error.
func TestEndedByItself(t *testing.T) {
	inNamespace(t, func() {
		b := backend(t)
		must(t, b.Install(testFrame()))
		open := testHoles(1, 3)
		must(t, b.Apply(open, nil))
		sh(t, "nft flush set ip ftpgate open; nft flush map ip ftpgate sources")
		if err := b.Apply(testHoles(10, 2), open); !errors.Is(err, firewall.ErrChanged) {
			t.Errorf("before a look: %v", err)
		}
		must(t, b.Apply(nil, open))
		if _, err := b.Verify(nil); err != nil {
			t.Error(err)
		}
		must(t, b.Apply(testHoles(10, 2), nil))
		again := testHole(10)
		again.ID = 20
		must(t, b.Apply([]firewall.Hole{again}, testHoles(10, 2)))
		must(t, b.Remove())
	})
}

// passing is what differs from one listing to the next.
var passing = regexp.MustCompile(`timeout \S+ expires \S+`)

// listing is what the administrator sees, with the times left out.
func listing(t *testing.T) string {
	t.Helper()
	return passing.ReplaceAllString(sh(t, "nft list table ip ftpgate; nft list table ip6 ftpgate"), "timeout 1m")
}

// TestListing: testdata/ftpgate.nft is what nft list table shows, as documentation. Each version of nft has words of its
// own, so that it is loaded and listed by the same nft.
func TestListing(t *testing.T) {
	var want string
	done := make(chan struct{})
	go func() { // on another thread, and so in another namespace
		defer close(done)
		inNamespace(t, func() {
			sh(t, "nft -f testdata/ftpgate.nft")
			want = listing(t)
		})
	}()
	<-done
	inNamespace(t, func() {
		b := backend(t)
		must(t, b.Install(testFrame()))
		must(t, b.Apply([]firewall.Hole{testHole(1), testHole6(2)}, nil))
		if is := listing(t); is != want {
			t.Errorf("nft list table shows other than testdata/ftpgate.nft:\n%s\nwant:\n%s", is, want)
		}
		must(t, b.Remove())
	})
}
