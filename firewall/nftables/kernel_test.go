//go:build kernel

package nftables_test

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/firewall/nftables"
)

// inNamespace runs a test on a thread that has a network namespace of its own, and programs started from it too.
func inNamespace(t testing.TB, test func()) {
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
	test()
}

func sh(t testing.TB, command string) string {
	t.Helper()
	out, err := exec.Command("/bin/sh", "-c", command).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
	return string(out)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testFrame() firewall.Frame {
	return firewall.Frame{
		Mark: 0x46000000, PinholeMark: 0x47000000, Mask: 0xff000000, ListenPort: 2121, IPv4: true, IPv6: true,
		Takeovers: []firewall.Takeover{
			{Interface: "lan0", Port: 21, Scope: firewall.RoutedOnly},
			{Interface: "lan0", Port: 2100, Scope: firewall.RoutedOnly},
			{Interface: "wan0", Port: 21, Scope: firewall.LocalOnly},
			{Interface: "wan0", Port: 2000, Scope: firewall.Established},
			{Interface: "wan0", Port: 21, Scope: firewall.Network, Network: netip.MustParsePrefix("198.51.100.0/24")},
			{Interface: "wan0", Port: 21, Scope: firewall.Network, Network: netip.MustParsePrefix("2001:db8:1::5/128")},
		},
		Returns: []firewall.Return{{Interface: "wan0", Port: 21}}, ServerPorts: []uint16{21, 2100},
		Refused: firewall.RefusedLog{Group: 7021, First: 50000, Last: 51999},
		Gateway: firewall.Gateway{LAN: []string{"lan0"}, WAN: []string{"wan0"}, Forward: true, Masquerade: true},
	}
}

// testHole is one that is translated both ways.
func testHole(id uint64) firewall.Hole {
	return firewall.Hole{ID: id, Expires: time.Now().Add(time.Minute), Pinhole: firewall.Pinhole{
		Interface: "wan0", Source: netip.MustParseAddr("192.0.2.1"), Session: 42,
		Destination: netip.AddrPortFrom(netip.MustParseAddr("198.51.100.1"), uint16(1024+id)),
		Target:      netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(1024+id)),
		SourceAs:    netip.MustParseAddr("10.0.0.254"),
	}}
}

func testHole6(id uint64) firewall.Hole {
	return firewall.Hole{ID: id, Expires: time.Now().Add(time.Minute), Pinhole: firewall.Pinhole{
		Interface: "wan0", Source: netip.MustParseAddr("2001:db8::1"), SourcePort: 20, Session: 43,
		Destination: netip.AddrPortFrom(netip.MustParseAddr("2001:db8::2"), uint16(1024+id)),
		Target:      netip.AddrPortFrom(netip.MustParseAddr("fd00::1"), uint16(1024+id)),
		SourceAs:    netip.MustParseAddr("fd00::254"),
	}}
}

func backend(t testing.TB) *nftables.Backend {
	t.Helper()
	b, err := nftables.New()
	must(t, err)
	return b
}

// inside calls a backend in a network namespace: the Manager does so from goroutines of its own.
type inside struct {
	firewall.Backend
	ns netns.NsHandle
}

func (i inside) Install(f firewall.Frame) error {
	return i.do(func() error { return i.Backend.Install(f) })
}

func (i inside) Apply(open, shut []firewall.Hole) error {
	return i.do(func() error { return i.Backend.Apply(open, shut) })
}

func (i inside) Verify(holes []firewall.Hole) (found firewall.Found, err error) {
	err = i.do(func() (err error) {
		found, err = i.Backend.Verify(holes)
		return err
	})
	return found, err
}

func (i inside) Remove() error { return i.do(i.Backend.Remove) }

func (i inside) do(call func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := netns.Get()
	if err != nil {
		return err
	}
	defer before.Close()
	if err := netns.Set(i.ns); err != nil {
		return err
	}
	return errors.Join(call(), netns.Set(before))
}

// manager is one that has been started, on the namespace of the caller; Stop is the caller's.
func manager(t testing.TB, frame firewall.Frame) *firewall.Manager {
	t.Helper()
	ns, err := netns.Get()
	must(t, err)
	t.Cleanup(func() { ns.Close() })
	m := firewall.NewManager(inside{backend(t), ns}, firewall.Options{MaxHoles: 1 << 14})
	must(t, m.Start(frame))
	return m
}
