//go:build kernel

package firewalltest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// The links of the router. The client has two, so that it can send with the address of the one by the other.
const (
	lan = "lan0"
	opt = "opt0"
	wan = "wan0"
)

// lab is a router between a client and a server, each in a network namespace without a name, which the kernel
// takes away with the last handle, however the test ends.
type lab struct {
	*testing.T
	rules                  hostRules
	four                   bool
	client, router, server netns.NsHandle
}

// addr is host n of network m of the lab.
func (l *lab) addr(m, n int) netip.Addr {
	if l.four {
		return netip.AddrFrom4([4]byte{10, 91, byte(m), byte(n)})
	}
	return netip.MustParseAddr(fmt.Sprintf("fd91:0:0:%d::%d", m, n))
}

func (l *lab) clientAddr() netip.Addr   { return l.addr(1, 2) }
func (l *lab) strangerAddr() netip.Addr { return l.addr(1, 3) }
func (l *lab) lanAddr() netip.Addr      { return l.addr(1, 1) }
func (l *lab) wanAddr() netip.Addr      { return l.addr(2, 1) }
func (l *lab) wanOther() netip.Addr     { return l.addr(2, 9) }
func (l *lab) serverAddr() netip.Addr   { return l.addr(2, 2) }

func newLab(t *testing.T, host string, four bool) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("tests with the tag kernel make network namespaces: run them as root")
	}
	l := &lab{T: t, four: four}
	l.rules = l.hostOf(host)
	for _, ns := range []*netns.NsHandle{&l.client, &l.router, &l.server} {
		*ns = newNamespace(t)
		t.Cleanup(func() { ns.Close() })
	}
	l.cable(l.client, "eth0", l.router, lan)
	l.cable(l.client, "eth1", l.router, opt)
	l.cable(l.server, "eth0", l.router, wan)
	l.configure(l.router, lan, l.addr(1, 1))
	l.configure(l.router, opt, l.addr(3, 1))
	l.configure(l.router, wan, l.addr(2, 1), l.addr(2, 9))
	l.configure(l.client, "eth0", l.addr(1, 2), l.addr(1, 3))
	l.configure(l.client, "eth1", l.addr(3, 2))
	l.configure(l.server, "eth0", l.addr(2, 2))
	l.route(l.client, "eth0", l.addr(1, 1), 100)
	l.route(l.client, "eth1", l.addr(3, 1), 200)
	l.route(l.server, "eth0", l.addr(2, 1), 100)
	l.sysctl("net/ipv4/ip_forward", "1")
	l.sysctl("net/ipv6/conf/all/forwarding", "1")
	l.sysctl("net/ipv4/conf/all/rp_filter", "0")
	for _, link := range []string{lan, opt, wan} {
		l.sysctl("net/ipv4/conf/"+link+"/rp_filter", "0")
	}
	return l
}

func newNamespace(t *testing.T) netns.NsHandle {
	t.Helper()
	handle := make(chan netns.NsHandle, 1)
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread is in the new namespace and ends with the goroutine
		ns, err := netns.New()
		if err == nil {
			err = errors.Join(loopbackUp(), withoutDAD())
		}
		handle <- ns
		failed <- err
	}()
	ns := <-handle
	if err := <-failed; err != nil {
		t.Fatalf("making a network namespace (are we root, with CAP_SYS_ADMIN?): %v", err)
	}
	return ns
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// withoutDAD lets IPv6 addresses of links that are made later, link-local ones included, be used at once.
func withoutDAD() error {
	const base = "/proc/sys/net/ipv6/conf/default/"
	return errors.Join(os.WriteFile(base+"accept_dad", []byte("0"), 0), os.WriteFile(base+"dad_transmits", []byte("0"), 0))
}

// within runs do on a thread that is in the namespace.
func within(ns netns.NsHandle, do func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(ns); err != nil {
			result <- fmt.Errorf("entering the namespace: %w", err)
			return
		}
		result <- do()
	}()
	return <-result
}

func (l *lab) in(ns netns.NsHandle, what string, do func() error) {
	l.Helper()
	if err := within(ns, do); err != nil {
		l.Fatalf("%s: %v", what, err)
	}
}

func (l *lab) cable(a netns.NsHandle, nameA string, b netns.NsHandle, nameB string) {
	l.Helper()
	l.in(a, "making link "+nameA, func() error {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: nameA}, PeerName: nameB, PeerNamespace: netlink.NsFd(b)}
		return netlink.LinkAdd(veth)
	})
}

func (l *lab) configure(ns netns.NsHandle, name string, addrs ...netip.Addr) {
	l.Helper()
	l.in(ns, "configuring "+name, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		for _, a := range addrs {
			bits := 64
			if a.Is4() {
				bits = 24
			}
			ip := &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}
			if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ip, Flags: unix.IFA_F_NODAD}); err != nil {
				return err
			}
		}
		return netlink.LinkSetUp(link)
	})
}

func (l *lab) route(ns netns.NsHandle, name string, gateway netip.Addr, metric int) {
	l.Helper()
	l.in(ns, "routing by "+name, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway.AsSlice(), Priority: metric})
	})
}

func (l *lab) sysctl(key, value string) {
	l.Helper()
	l.in(l.router, key, func() error { return os.WriteFile("/proc/sys/"+key, []byte(value), 0) })
}

func (l *lab) output(what, program string, args ...string) string {
	l.Helper()
	var out []byte
	l.in(l.router, what, func() (err error) {
		out, err = exec.Command(program, args...).Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return err
	})
	return string(out)
}
