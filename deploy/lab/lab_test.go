//go:build kernel

package lab_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
)

// testTimeout bounds each test of this package.
const testTimeout = time.Minute

func newLab(t *testing.T, options lab.Options) (context.Context, *lab.Lab) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	if options.Name == "" {
		options.Name = "labtest"
	}
	start := time.Now()
	l, err := lab.New(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s built in %v", l.Prefix(), time.Since(start).Round(time.Millisecond))
	t.Cleanup(func() {
		start := time.Now()
		if err := l.Close(); err != nil {
			t.Errorf("closing the lab: %v", err)
		}
		t.Logf("closed in %v", time.Since(start).Round(time.Millisecond))
	})
	return ctx, l
}

// reach listens on one host, dials from another and tells what address the listener saw.
func reach(ctx context.Context, from, to *lab.Host, source, at netip.Addr) (netip.Addr, error) {
	listener, err := to.Listen(ctx, netip.AddrPortFrom(at, 0))
	if err != nil {
		return netip.Addr{}, err
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := from.DialFrom(ctx, netip.AddrPortFrom(source, 0), listener.Addr().(interface{ AddrPort() netip.AddrPort }).AddrPort())
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	accepted, err := listener.AcceptTCP()
	if err != nil {
		return netip.Addr{}, err
	}
	defer accepted.Close()
	return accepted.RemoteAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort().Addr(), nil
}

// TestReach shows who reaches whom through an open router and as whom, in both variants.
func TestReach(t *testing.T) {
	for _, variant := range []lab.Variant{lab.NFT, lab.Legacy} {
		t.Run(string(variant), func(t *testing.T) {
			ctx, l := newLab(t, lab.Options{Variant: variant, Filter: lab.FilterOpen})
			client, server, router := l.Host(lab.Client), l.Host(lab.Server), l.Host(lab.Router)
			outside, third := l.Host(lab.Outside), l.Host(lab.Third)
			for _, c := range []struct {
				name             string
				from, to         *lab.Host
				source, at, seen netip.Addr
			}{
				{"LAN segment, IPv4", client, server, netip.Addr{}, server.IPv4(), client.IPv4()},
				{"LAN segment, IPv6", client, server, netip.Addr{}, server.IPv6(), client.IPv6()},
				{"WAN segment", third, outside, netip.Addr{}, outside.IPv6(), third.IPv6()},
				{"masqueraded, IPv4", client, outside, netip.Addr{}, outside.IPv4(), router.IPv4()},
				{"masqueraded, IPv6", client, outside, client.ULA(), outside.IPv6(), router.IPv6()},
				{"routed out, IPv6", client, outside, netip.Addr{}, outside.IPv6(), client.IPv6()},
				{"routed in, IPv4", third, server, netip.Addr{}, server.IPv4(), third.IPv4()},
				{"routed in, IPv6", third, server, netip.Addr{}, server.IPv6(), third.IPv6()},
			} {
				seen, err := reach(ctx, c.from, c.to, c.source, c.at)
				if err != nil || seen != c.seen {
					t.Errorf("%s: seen as %v, %v; want %v", c.name, seen, err, c.seen)
				}
			}
		})
	}
}

// TestPreferULA shows that programs which choose no address are translated on demand.
func TestPreferULA(t *testing.T) {
	ctx, l := newLab(t, lab.Options{Filter: lab.FilterOpen})
	client, outside, router := l.Host(lab.Client), l.Host(lab.Outside), l.Host(lab.Router)
	for prefer, want := range map[bool]netip.Addr{true: router.IPv6(), false: client.IPv6()} {
		if err := client.PreferULA(ctx, prefer); err != nil {
			t.Fatal(err)
		}
		if seen, err := reach(ctx, client, outside, netip.Addr{}, outside.IPv6()); err != nil || seen != want {
			t.Errorf("prefer %v: seen as %v, %v; want %v", prefer, seen, err, want)
		}
	}
}

// TestDrop shows that a strict router lets nobody through, and answers nobody.
func TestDrop(t *testing.T) {
	for name, filter := range map[string]lab.Filter{"stateful": lab.FilterStateful, "bare": lab.FilterBare} {
		t.Run(name, func(t *testing.T) {
			ctx, l := newLab(t, lab.Options{Filter: filter})
			client, outside, router := l.Host(lab.Client), l.Host(lab.Outside), l.Host(lab.Router)
			if seen, err := reach(ctx, client, outside, netip.Addr{}, outside.IPv4()); err == nil {
				t.Errorf("the client reached the Internet, as %v", seen)
			}
			if seen, err := reach(ctx, outside, router, netip.Addr{}, router.IPv6()); err == nil {
				t.Errorf("the Internet reached the router, as %v", seen)
			}
			_, err := reach(ctx, router, outside, netip.Addr{}, outside.IPv4())
			if (err == nil) != (filter == lab.FilterStateful) {
				t.Errorf("the router's own connection: %v", err)
			}
		})
	}
}

// TestState shows that the comparison of two states is quiet without a change, and sees each kind of change.
func TestState(t *testing.T) {
	ctx, l := newLab(t, lab.Options{})
	router := l.Host(lab.Router)
	before, err := l.State(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"USER-WEB", "MASQUERADE", "published by the user", "ip6tables-nft-save", "net/ipv4/ip_forward 1"} {
		if !strings.Contains(before, want) {
			t.Errorf("the state does not show %q", want)
		}
	}
	for do, undo := range map[string]string{
		"iptables-nft -A FORWARD -j ACCEPT":           "iptables-nft -D FORWARD -j ACCEPT",
		"ip -6 rule add fwmark 1 lookup 99":           "ip -6 rule del fwmark 1 lookup 99",
		"ip route add local 0/0 dev lo table 99":      "ip route del local 0/0 dev lo table 99",
		"sysctl -w net.ipv4.ip_nonlocal_bind=1":       "sysctl -w net.ipv4.ip_nonlocal_bind=0",
		"nft add table inet other":                    "nft delete table inet other",
		"ip address add 203.0.113.2/24 dev wan0":      "ip address del 203.0.113.2/24 dev wan0",
		"sysctl -w net.netfilter.nf_conntrack_acct=1": "sysctl -w net.netfilter.nf_conntrack_acct=0",
	} {
		for _, step := range []struct {
			command string
			same    bool
		}{{do, false}, {undo, true}} {
			words := strings.Fields(step.command)
			if _, err := router.Run(ctx, words[0], words[1:]...); err != nil {
				t.Fatal(err)
			}
			if now, err := l.State(ctx); err != nil || (now == before) != step.same {
				t.Errorf("after %q: %v, the state is the same: %v", step.command, err, now == before)
			}
		}
	}
}

// TestProcess shows a background process's life: output, waiting, stop, kill, and the end with the lab.
func TestProcess(t *testing.T) {
	ctx, l := newLab(t, lab.Options{ProcessLog: t.TempDir()})
	p, err := l.Host(lab.Client).Start("/bin/sh", "-c", "echo hello; cat /sys/class/net/eth0/operstate; exec sleep 100")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WaitOutput(ctx, "hello\nup\n"); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}
	dead, err := l.Host(lab.Client).Start("/bin/sh", "-c", "echo gone; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.WaitOutput(ctx, "never"); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("waiting for what never comes: %v", err)
	}
	if dead.Err() == nil {
		t.Error("status 3 is no error")
	}
	stubborn, err := l.Host(lab.Server).Start("/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
	if err != nil {
		t.Fatal(err)
	}
	if err := stubborn.WaitOutput(ctx, "ready"); err != nil {
		t.Error(err)
	}
	stubborn.Kill()
	running, err := l.Host(lab.Server).Start("sleep", "1000")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-running.Done():
	default:
		t.Error("a process outlived the lab")
	}
	if _, err := l.Host(lab.Server).Start("true"); err == nil {
		t.Error("a closed lab started a process")
	}
}

// TestWaitListening waits for listeners on one address and on all.
func TestWaitListening(t *testing.T) {
	ctx, l := newLab(t, lab.Options{})
	server := l.Host(lab.Server)
	for listen, want := range map[string]netip.AddrPort{
		"203.0.113.20:21":         netip.MustParseAddrPort("203.0.113.20:21"),
		"[2001:db8:113::20]:2121": netip.MustParseAddrPort("[2001:db8:113::20]:2121"),
		"0.0.0.0:22":              netip.MustParseAddrPort("203.0.113.20:22"),
	} {
		outside := l.Host(lab.Outside)
		listener, err := outside.Listen(ctx, netip.MustParseAddrPort(listen))
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		if err := lab.WaitListening(ctx, outside, want); err != nil {
			t.Error(err)
		}
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := lab.WaitListening(short, server, netip.MustParseAddrPort("192.168.50.20:21")); err == nil {
		t.Error("nobody listens, but it was found")
	}
}

// TestPicture shows that the demo's picture names every host.
func TestPicture(t *testing.T) {
	_, l := newLab(t, lab.Options{})
	picture := l.Picture()
	for _, name := range []string{lab.Router, lab.Client, lab.Server, lab.Outside, lab.Third} {
		picture += fmt.Sprintln(l.Host(name).FullDescription())
	}
	for _, want := range []string{"192.168.50.10", "203.0.113.66", "fd50::20", "2001:db8:113::1"} {
		if !strings.Contains(picture, want) {
			t.Errorf("no %s in\n%s", want, picture)
		}
	}
	t.Log("\n" + picture)
}
