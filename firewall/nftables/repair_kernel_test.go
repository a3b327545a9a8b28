//go:build kernel

package nftables_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

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

// TestOpensBehindAReload: a pinhole is not open before what another program has taken away is back, as the next Verify tells.
func TestOpensBehindAReload(t *testing.T) {
	const native = "nft 'table inet host { chain f { type filter hook forward priority 0; policy drop; }; }'"
	for _, reload := range []string{
		"nft delete table inet host; " + native,
		"iptables-nft -F INPUT; iptables-nft -F FTPGATE-INPUT; iptables-nft -X FTPGATE-INPUT",
		"nft flush ruleset; " + native + "; iptables-nft -P INPUT DROP",
	} {
		inNamespace(t, func() {
			sh(t, native+"; iptables-nft -P INPUT DROP")
			b := backend(t)
			must(t, b.Install(testFrame()))
			must(t, b.Apply([]firewall.Hole{testHole(1), testHole6(2)}, nil))
			sh(t, reload)
			must(t, b.Apply([]firewall.Hole{testHole(3)}, nil))
			for _, line := range []string{"nft list chain inet host f | grep 0x47000000", "iptables-nft -S INPUT | grep FTPGATE-INPUT"} {
				sh(t, line)
			}
			if open := sh(t, "nft list set ip ftpgate open"); !strings.Contains(open, "ftpgate 3 ") || !strings.Contains(open, "ftpgate 1 ") {
				t.Errorf("after %s: %s", reload, open)
			}
			open := []firewall.Hole{testHole(1), testHole6(2), testHole(3)}
			for _, told := range []bool{true, false} {
				repaired, err := b.Verify(open)
				if must(t, err); repaired.Any() != told {
					t.Errorf("after %s: repaired %q", reload, repaired)
				}
			}
			must(t, b.Remove())
		})
	}
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
		must(t, b.Apply(testHoles(10, 2), open))
		if _, err := b.Verify(testHoles(10, 2)); err != nil {
			t.Error(err)
		}
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
