//go:build kernel

package nftables

import (
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/google/nftables/expr"
	"github.com/vishvananda/netns"

	"github.com/ftpgate/ftpgate/firewall"
)

// TestLacking: what the kernel does not have is named, and only that; nothing is left.
func TestLacking(t *testing.T) {
	runtime.LockOSThread() // for good: the thread is in the new namespace and ends with the goroutine
	ns, err := netns.New()
	if err != nil {
		t.Fatalf("making a network namespace: %v", err)
	}
	defer ns.Close()
	on, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer on.close()
	before, err := on.generation()
	if err != nil {
		t.Fatal(err)
	}
	for _, four := range []bool{true, false} {
		w := words{four}
		features := w.features()
		if lacks := w.lacking(on, features); len(lacks) > 0 {
			t.Errorf("lacking here: %q", lacks)
		}
		features[1].name, features[1].rule = "the unheard-of", newRule("", []expr.Any{&expr.Socket{Key: 99, Register: reg}})
		want := []string{"the unheard-of for " + w.String() + " (module nft_socket)"}
		if lacks := w.lacking(on, features); !slices.Equal(lacks, want) {
			t.Errorf("lacking: %q, want %q", lacks, want)
		}
	}
	refused := errors.New("refused for another reason")
	if err := diagnose(firewall.Frame{IPv4: true, IPv6: true}, refused); err != refused {
		t.Errorf("diagnosed as %v", err)
	}
	if after, err := on.generation(); err != nil || after != before {
		t.Errorf("trying has changed the rules: %d, %d, %v", before, after, err)
	}
}
