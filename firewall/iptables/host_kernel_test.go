//go:build kernel

package iptables_test

import (
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netns"

	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/firewall/iptables"
)

// inNamespace runs a test on a thread that has a network namespace of its own, and programs started from it too.
func inNamespace(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("tests with the tag kernel make network namespaces: run them as root")
	}
	runtime.LockOSThread() // for good: the thread ends with the goroutine of the test, so t.Run must not be used inside
	ns, err := netns.New()
	if err != nil {
		t.Fatalf("making a network namespace: %v", err)
	}
	defer ns.Close()
	test(t)
}

func sh(t *testing.T, command string) string {
	t.Helper()
	out, err := exec.Command("/bin/sh", "-c", command).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
	return string(out)
}

func testFrame() firewall.Frame {
	return firewall.Frame{
		Mark: 0x46000000, PinholeMark: 0x47000000, Mask: 0xff000000, ListenPort: 2121, IPv4: true,
		Takeovers: []firewall.Takeover{{Interface: "lan0", Port: 21, Scope: firewall.RoutedOnly}},
		Returns:   []firewall.Return{{Interface: "wan0", Port: 21}}, ServerPorts: []uint16{21},
	}
}

func testHole(id uint64) firewall.Hole {
	return firewall.Hole{ID: id, Expires: time.Now().Add(time.Minute), Pinhole: firewall.Pinhole{
		Interface: "lan0", Source: netip.MustParseAddr("192.0.2.1"), Session: 1,
		Destination: netip.AddrPortFrom(netip.MustParseAddr("198.51.100.1"), uint16(1024+id)),
		Target:      netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(1024+id)),
	}}
}

func backend(t *testing.T, v iptables.Variant) *iptables.Backend {
	t.Helper()
	b, err := iptables.New(iptables.Options{Variant: v})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const (
	legacy4 = "/proc/thread-self/net/ip_tables_names"
	legacy6 = "/proc/thread-self/net/ip6_tables_names"
)

func legacyTables(t *testing.T, path string) string {
	t.Helper()
	names, err := os.ReadFile(path)
	must(t, err)
	return string(names)
}

// TestAutoFollowsTheRules: the real programs, and no legacy table made by looking.
func TestAutoFollowsTheRules(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		for _, step := range []struct {
			do   string
			want iptables.Variant
			warn bool
		}{
			{"iptables-nft -P FORWARD DROP", iptables.NFT, false},
			{"iptables-nft -P FORWARD ACCEPT; iptables-legacy -A FORWARD -j ACCEPT", iptables.Legacy, false},
			{"iptables-nft -t nat -A POSTROUTING -j MASQUERADE", iptables.Legacy, true},
		} {
			sh(t, step.do)
			c := backend(t, iptables.Auto).Choice()
			if c.Variant != step.want || (c.Warning != "") != step.warn || c.Reason == "" {
				t.Errorf("after %q: %+v", step.do, c)
			}
			if step.want == iptables.NFT && legacyTables(t, legacy4) != "" {
				t.Error("looking has made legacy tables")
			}
		}
	})
}

// TestFamilyUntouched: a family that the frame leaves out gets no table, in neither variant.
func TestFamilyUntouched(t *testing.T) {
	for _, v := range []iptables.Variant{iptables.NFT, iptables.Legacy} {
		inNamespace(t, func(t *testing.T) {
			b := backend(t, v)
			must(t, b.Install(testFrame()))
			must(t, b.Apply([]firewall.Hole{testHole(1)}, nil))
			if _, err := b.Verify([]firewall.Hole{testHole(1)}); err != nil {
				t.Error(err)
			}
			must(t, b.Remove())
			if names := legacyTables(t, legacy6); names != "" {
				t.Errorf("iptables-%s made legacy tables of IPv6: %s", v, names)
			}
			conn, err := nftables.New()
			must(t, err)
			tables, err := conn.ListTables()
			must(t, err)
			for _, table := range tables {
				t.Errorf("iptables-%s left table %s of family %d", v, table.Name, table.Family)
			}
		})
	}
}

// TestLeftoversOfTheOtherVariant: a crashed run spoke one variant, this one the other.
func TestLeftoversOfTheOtherVariant(t *testing.T) {
	for v, other := range map[iptables.Variant]iptables.Variant{iptables.NFT: iptables.Legacy, iptables.Legacy: iptables.NFT} {
		inNamespace(t, func(t *testing.T) {
			f := testFrame()
			f.IPv6 = true
			crashed := backend(t, other)
			must(t, crashed.Install(f))
			must(t, crashed.Apply([]firewall.Hole{testHole(1)}, nil))
			b := backend(t, v)
			must(t, b.Install(testFrame())) // the new configuration has no IPv6 any more
			for _, program := range []string{"iptables-", "ip6tables-"} {
				if left := sh(t, program+string(other)+"-save"); strings.Contains(left, "FTPGATE") {
					t.Errorf("left in %s%s:\n%s", program, other, left)
				}
			}
			must(t, b.Remove())
		})
	}
}

// TestCrashBeforeTheJumps: a run that was killed while it installed leaves no trace either.
func TestCrashBeforeTheJumps(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		sh(t, "iptables-nft -N FTPGATE-FORWARD; iptables-nft -t nat -N FTPGATE-PRE; iptables-nft -t nat -A FTPGATE-PRE -j ACCEPT")
		b := backend(t, iptables.NFT)
		must(t, b.Install(testFrame()))
		must(t, b.Remove())
		conn, err := nftables.New()
		must(t, err)
		tables, err := conn.ListTables()
		must(t, err)
		if len(tables) > 0 {
			t.Errorf("left: %+v", tables)
		}
	})
}

// TestOthersMoveIn: what the host puts into chains and tables that we caused to be made stays, with its policy.
func TestOthersMoveIn(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		b := backend(t, iptables.NFT)
		must(t, b.Install(testFrame()))
		sh(t, "iptables-nft -t nat -A POSTROUTING -o wan0 -j MASQUERADE; iptables-nft -P INPUT DROP")
		must(t, b.Remove())
		left := sh(t, "iptables-nft-save")
		for _, want := range []string{"-A POSTROUTING -o wan0 -j MASQUERADE", ":INPUT DROP"} {
			if !strings.Contains(left, want) {
				t.Errorf("%q was lost:\n%s", want, left)
			}
		}
		if strings.Contains(left, "FTPGATE") || strings.Contains(left, "*mangle") {
			t.Errorf("left:\n%s", left)
		}
	})
}

// TestInstallFails half-way, at a table that iptables cannot use, and leaves no trace.
func TestInstallFails(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		conn, err := nftables.New()
		must(t, err)
		strange := conn.AddTable(&nftables.Table{Name: "mangle", Family: nftables.TableFamilyIPv4})
		conn.AddChain(&nftables.Chain{Name: "PREROUTING", Table: strange, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest})
		must(t, conn.Flush())
		b := backend(t, iptables.NFT)
		if err := b.Install(testFrame()); err == nil {
			t.Error("installed into a table that iptables cannot use")
		} else {
			t.Log("as it should: ", err)
		}
		must(t, b.Remove())
		chains, err := conn.ListChains()
		must(t, err)
		if len(chains) != 1 || chains[0].Table.Name != "mangle" {
			t.Errorf("left: %+v", chains)
		}
		tables, err := conn.ListTables()
		must(t, err)
		if len(tables) != 1 {
			t.Errorf("left: %+v", tables)
		}
	})
}

// TestLock: another program holds the lock of iptables-legacy for a while; we wait and succeed.
func TestLock(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		b := backend(t, iptables.Legacy)
		must(t, b.Install(testFrame()))
		lock, err := os.OpenFile("/run/xtables.lock", os.O_CREATE|os.O_RDONLY, 0o600)
		must(t, err)
		defer lock.Close()
		fd := int(lock.Fd())
		must(t, syscall.Flock(fd, syscall.LOCK_EX))
		const held = 700 * time.Millisecond
		time.AfterFunc(held, func() { syscall.Flock(fd, syscall.LOCK_UN) })
		before := time.Now()
		must(t, b.Apply([]firewall.Hole{testHole(1)}, nil))
		if took := time.Since(before); took < held-100*time.Millisecond {
			t.Errorf("the lock was not respected: %s", took)
		}
		must(t, b.Remove())
	})
}

// TestDockerUser: data connections are let pass in the chain that Docker leaves to others too, whether it was there before us or
// came later, and while it is there.
func TestDockerUser(t *testing.T) {
	for _, v := range []iptables.Variant{iptables.NFT, iptables.Legacy} {
		inNamespace(t, func(t *testing.T) {
			program := "iptables-" + string(v) + " -w "
			docker := program + "-N DOCKER-USER; " + program + "-I FORWARD -j DOCKER-USER"
			shown := func() string { return sh(t, program+"-S | grep -e DOCKER-USER -e '-j FTPGATE-FORWARD'; true") }
			lodged := func(when string) {
				t.Helper()
				if !strings.Contains(shown(), "-A DOCKER-USER -m connmark --mark 0x47000000/0xff000000 -m comment --comment ftpgate -j FTPGATE-FORWARD") {
					t.Errorf("%s, %s: not in DOCKER-USER:\n%s", v, when, shown())
				}
			}
			sh(t, docker)
			before := shown()
			b := backend(t, v)
			must(t, b.Install(testFrame()))
			lodged("after Docker")
			followed := func(want int) {
				t.Helper()
				found, err := b.Verify(nil)
				if must(t, err); len(found.Followed) != want || len(found.Repaired) > 0 {
					t.Errorf("%s: found %q", v, found)
				}
			}
			followed(0)
			sh(t, program+"-F DOCKER-USER; "+program+"-D FORWARD -j DOCKER-USER; "+program+"-X DOCKER-USER")
			followed(0)
			sh(t, docker)
			followed(1)
			lodged("before Docker")
			followed(0)
			must(t, b.Install(testFrame()))
			followed(0)
			must(t, b.Remove())
			if after := shown(); after != before {
				t.Errorf("%s: left:\n%s", v, after)
			}
		})
	}
}
