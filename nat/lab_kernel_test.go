//go:build kernel

package nat

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// testMark and testMask stand for the marks that a caller gives.
const (
	testMark     = 0x46000000
	testFlowMark = 0x47000000
	testMask     = 0xff000000
	testTimeout  = 10 * time.Second
)

// host is a network namespace without a name: it vanishes with its last user.
type host struct {
	name string
	ns   netns.NsHandle
}

// lab is client – router – server, each link with both families.
type lab struct {
	client, router, server *host
}

const (
	toClient = "lan0" // the router's interfaces
	toServer = "wan0"
)

// addresses of the lab in one family.
type addresses struct {
	client, routerIn, routerOut, server netip.Addr
}

var families = map[string]addresses{
	"IPv4": {
		client:    netip.MustParseAddr("10.1.0.2"),
		routerIn:  netip.MustParseAddr("10.1.0.1"),
		routerOut: netip.MustParseAddr("10.2.0.1"),
		server:    netip.MustParseAddr("10.2.0.2"),
	},
	"IPv6": {
		client:    netip.MustParseAddr("fd01::2"),
		routerIn:  netip.MustParseAddr("fd01::1"),
		routerOut: netip.MustParseAddr("fd02::1"),
		server:    netip.MustParseAddr("fd02::2"),
	},
}

func newHost(t *testing.T, name string) *host {
	t.Helper()
	h := &host{name: name}
	onThread(func() {
		ns, err := netns.New()
		if err != nil {
			t.Errorf("make a network namespace (as root?): %v", err)
			return
		}
		h.ns = ns
	})
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() { h.ns.Close() })
	// The link-local addresses need not wait for duplicate address detection.
	h.sysctl(t, "net.ipv6.conf.all.accept_dad", "0")
	h.sysctl(t, "net.ipv6.conf.default.accept_dad", "0")
	h.do(t, func() {
		link, err := netlink.LinkByName("lo")
		must(t, err)
		must(t, netlink.LinkSetUp(link))
	})
	return h
}

// onThread runs f on a thread that ends with it.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

// do runs f in the namespace. Sockets that f opens stay there.
func (h *host) do(t *testing.T, f func()) {
	t.Helper()
	onThread(func() {
		if err := netns.Set(h.ns); err != nil {
			t.Errorf("enter %s: %v", h.name, err)
			return
		}
		f()
	})
	if t.Failed() {
		t.FailNow()
	}
}

// run executes a command in the namespace and returns its output.
func (h *host) run(t *testing.T, command string) (output string) {
	t.Helper()
	h.do(t, func() {
		out, err := exec.Command("sh", "-ec", command).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %s: %v\n%s", h.name, command, err, out)
		}
		output = string(out)
	})
	return output
}

func (h *host) sysctl(t *testing.T, name, value string) {
	t.Helper()
	h.do(t, func() {
		path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
		must(t, os.WriteFile(path, []byte(value), 0o644))
	})
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{client: newHost(t, "client"), router: newHost(t, "router"), server: newHost(t, "server")}
	v4, v6 := families["IPv4"], families["IPv6"]
	connect(t, l.router, toClient, l.client, []netip.Addr{v4.routerIn, v6.routerIn}, []netip.Addr{v4.client, v6.client})
	connect(t, l.router, toServer, l.server, []netip.Addr{v4.routerOut, v6.routerOut}, []netip.Addr{v4.server, v6.server})
	for _, f := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
		l.router.sysctl(t, f, "1")
	}
	return l
}

// connect joins two hosts by a pair of interfaces; the peer's is eth0 and leads to
// everywhere.
func connect(t *testing.T, router *host, name string, peer *host, near, far []netip.Addr) {
	t.Helper()
	router.do(t, func() {
		must(t, netlink.LinkAdd(&netlink.Veth{
			LinkAttrs:     netlink.LinkAttrs{Name: name},
			PeerName:      "eth0",
			PeerNamespace: netlink.NsFd(peer.ns),
		}))
		setUp(t, name, near)
	})
	peer.do(t, func() {
		link := setUp(t, "eth0", far)
		for _, gateway := range near {
			must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway.AsSlice()}))
		}
	})
}

func setUp(t *testing.T, name string, addresses []netip.Addr) netlink.Link {
	t.Helper()
	link, err := netlink.LinkByName(name)
	must(t, err)
	for _, address := range addresses {
		bits := 24
		if address.Is6() {
			bits = 64
		}
		must(t, netlink.AddrAdd(link, &netlink.Addr{
			IPNet: &net.IPNet{IP: address.AsSlice(), Mask: net.CIDRMask(bits, address.BitLen())},
			Flags: unix.IFA_F_NODAD,
		}))
	}
	must(t, netlink.LinkSetUp(link))
	return link
}

// must reports an error of the preparation; do stops the test.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%v", err)
		runtime.Goexit()
	}
}

// takeOver gives TCP connections for a port to the transparent listener, behind an
// INPUT policy of DROP, and catches what comes back to transparent sockets.
func (l *lab) takeOver(t *testing.T, port int, listen uint16) {
	t.Helper()
	for tables, loopback := range map[string]string{"iptables": "127.0.0.1", "ip6tables": "::1"} {
		mark := fmt.Sprintf("%#x/%#x", testMark, testMask)
		rules := []string{
			"-P INPUT DROP",
			"-A INPUT -m mark --mark " + mark + " -j ACCEPT",
			"-A INPUT -p tcp -m conntrack --ctstate ESTABLISHED -j ACCEPT",
			"-t mangle -N DIVERT",
			"-t mangle -A DIVERT -j MARK --set-xmark " + mark,
			"-t mangle -A DIVERT -j ACCEPT",
			"-t mangle -A PREROUTING -p tcp -m socket --transparent -j DIVERT",
			fmt.Sprintf("-t mangle -A PREROUTING -i %s -p tcp --dport %d -j TPROXY --on-ip %s --on-port %d --tproxy-mark %s",
				toClient, port, loopback, listen, mark),
		}
		if tables == "ip6tables" {
			rules = append(rules, "-A INPUT -p icmpv6 -j ACCEPT")
		}
		for _, rule := range rules {
			l.router.run(t, tables+" -w "+rule)
		}
	}
}

// listenOn opens an ordinary listener in a namespace, closed with the test.
func (h *host) listenOn(t *testing.T, address netip.AddrPort) (listener *net.TCPListener) {
	t.Helper()
	h.do(t, func() {
		var err error
		listener, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(address))
		must(t, err)
	})
	t.Cleanup(func() { listener.Close() })
	return listener
}

// dial connects from a namespace; the connection is closed with the test.
func (h *host) dial(t *testing.T, address netip.AddrPort) (conn *net.TCPConn, err error) {
	t.Helper()
	h.do(t, func() {
		var c net.Conn
		c, err = net.DialTimeout("tcp", address.String(), testTimeout)
		if err == nil {
			conn = c.(*net.TCPConn)
		}
	})
	if conn != nil {
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(testTimeout))
	}
	return conn, err
}

func accept(t *testing.T, listener *net.TCPListener) *net.TCPConn {
	t.Helper()
	listener.SetDeadline(time.Now().Add(testTimeout))
	conn, err := listener.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(testTimeout))
	return conn
}

func localOf(conn net.Conn) netip.AddrPort  { return plainPort(conn.LocalAddr()) }
func remoteOf(conn net.Conn) netip.AddrPort { return plainPort(conn.RemoteAddr()) }

func plainPort(address net.Addr) netip.AddrPort {
	a := address.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
