//go:build kernel

package nat

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestEgress(t *testing.T) {
	l := newLab(t)
	l.router.run(t, "ip link add back0 type veth peer name back1; ip link set back0 up; ip route add default dev back0 table 7; ip rule add from 10.1.0.1 lookup 7")
	for _, test := range []struct{ destination, source, want string }{
		{"10.2.0.2", "", toServer},
		{"10.1.0.2", "", toClient},
		{"fd02::2", "", toServer},
		{"fd02::2", "fd01::2", toServer},
		{"10.2.0.2", "10.1.0.2", toServer}, // foreign source
		{"10.2.0.2", "10.1.0.1", "back0"},  // own source with its own table
		{"10.2.0.1", "", "lo"},
		{"::ffff:10.2.0.2", "", toServer},
	} {
		var source netip.Addr
		if test.source != "" {
			source = netip.MustParseAddr(test.source)
		}
		l.router.do(t, func() {
			got, err := routes(t).Egress(netip.MustParseAddr(test.destination), source, 0)
			if err != nil || got != test.want {
				t.Errorf("to %s from %q: %q, %v; want %q", test.destination, test.source, got, err, test.want)
			}
		})
	}
	l.router.do(t, func() {
		if _, err := routes(t).Egress(netip.MustParseAddr("198.51.100.1"), netip.Addr{}, 0); !errors.Is(err, unix.ENETUNREACH) {
			t.Errorf("without a route: %v", err)
		}
	})
}

func TestDelivery(t *testing.T) {
	l := newLab(t)
	l.router.run(t, "ip route add local 203.0.113.0/24 dev lo; ip route add unreachable 192.0.2.0/24; ip route add prohibit 198.51.100.0/24; ip route add blackhole 198.18.0.0/24")
	l.router.do(t, func() {
		must(t, testRouting(toClient).Install())
		const local = "local"
		for address, want := range map[string]string{
			"10.1.0.1": local, "fd02::1": local, "127.0.0.1": local, "::1": local, "203.0.113.9": local, "::ffff:10.1.0.1": local,
			"10.1.0.2": "lan0", "fd02::2": "wan0", "8.8.8.8": "", "2001:db8::1": "",
			"192.0.2.1": "", "198.51.100.1": "", "198.18.0.1": "",
		} {
			is, name, err := routes(t).Delivery(netip.MustParseAddr(address))
			if is {
				name += local
			}
			if err != nil || name != want {
				t.Errorf("%s: %q, %v; want %q", address, name, err, want)
			}
		}
	})
}

func TestInterfaceNameOfNone(t *testing.T) {
	if name, err := routes(t).InterfaceName(1 << 30); err == nil {
		t.Errorf("interface %q", name)
	}
}

func TestWithoutIPv6(t *testing.T) {
	h := newHost(t, "router")
	h.do(t, func() {
		if !HasIPv6() {
			t.Error("IPv6 is said to be missing")
		}
	})
	h.sysctl(t, "net.ipv6.conf.all.disable_ipv6", "1")
	h.do(t, func() {
		listeners, err := Listen(context.Background(), 0)
		must(t, err)
		if len(listeners) != 1 {
			t.Errorf("%d listeners, want one", len(listeners))
		}
		for _, listener := range listeners {
			listener.Close()
		}
	})
}

// Settings come back as they were, unless somebody else has set them meanwhile.
func TestSettings(t *testing.T) {
	h := newHost(t, "router")
	settings := Settings{Dir: filepath.Join(t.TempDir(), "notes")}
	for path, enable := range map[string]func() (func() error, error){
		accountingSetting: settings.EnableAccounting,
		eventsSetting:     settings.EnableEvents,
	} {
		name := strings.ReplaceAll(strings.TrimPrefix(path, "/proc/sys/"), "/", ".")
		for _, test := range []struct{ before, meanwhile, after string }{
			{"0", "1", "0"},
			{"1", "1", "1"},
			{"0", "0", "0"},
		} {
			h.sysctl(t, name, test.before)
			var restore func() error
			h.do(t, func() {
				var err error
				restore, err = enable()
				must(t, err)
				if now := readFile(t, path); now != "1" {
					t.Errorf("%s is %q", name, now)
				}
			})
			h.sysctl(t, name, test.meanwhile)
			// Not in the namespace: what is restored is what was changed.
			for range 2 {
				if err := restore(); err != nil {
					t.Error(err)
				}
			}
			h.do(t, func() {
				if now := readFile(t, path); now != test.after {
					t.Errorf("%s was %s, then %s, and is %s in the end", name, test.before, test.meanwhile, now)
				}
			})
			if exists(settings.Dir) {
				t.Errorf("%s is still there", settings.Dir)
			}
		}
	}
}

// A process that is killed cannot put a setting back; the next one does.
func TestSettingsAfterACrash(t *testing.T) {
	h := newHost(t, "router")
	settings := Settings{Dir: filepath.Join(t.TempDir(), "notes")}
	h.sysctl(t, "net.netfilter.nf_conntrack_acct", "0")
	h.do(t, func() {
		_, err := settings.EnableAccounting() // and never restores
		must(t, err)
		restore, err := settings.EnableAccounting()
		must(t, err)
		must(t, restore())
		if now := readFile(t, accountingSetting); now != "0" {
			t.Errorf("accounting is %s after the second process", now)
		}
	})
	if exists(settings.Dir) {
		t.Errorf("%s is still there", settings.Dir)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	must(t, err)
	return strings.TrimSpace(string(content))
}

// routes are those of the present network namespace.
func routes(t *testing.T) *Routes {
	t.Helper()
	r, err := OpenRoutes()
	must(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}
