package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netns"
)

// Host is one machine of the lab: a network namespace. Its files and its processes are those of the real machine.
type Host struct {
	// Name is Router, Client, Server, Outside or Third.
	Name string
	// Namespace is the name that `ip netns exec` knows.
	Namespace string

	lab       *Lab
	links     []Link
	namespace netns.NsHandle
}

// Links returns the host's interfaces. The router has lan0 and wan0, in this order, every other host one.
func (h *Host) Links() []Link { return h.links }

// Link returns the interface of that name. Another name is a mistake in the caller, and panics.
func (h *Host) Link(name string) Link {
	for _, l := range h.links {
		if l.Name == name {
			return l
		}
	}
	panic(fmt.Sprintf("lab: %s has no interface %q", h.Name, name))
}

// IPv4 is the address of the host's only interface; of the router, that on the Internet. So are IPv6 and ULA.
func (h *Host) IPv4() netip.Addr { return h.links[len(h.links)-1].IPv4 }

// IPv6 is the host's global address.
func (h *Host) IPv6() netip.Addr { return h.links[len(h.links)-1].IPv6 }

// ULA is the host's unique local address, which the router translates; hosts on the LAN alone have one.
func (h *Host) ULA() netip.Addr { return h.links[len(h.links)-1].ULA }

// Command prepares a program that runs in the host. It becomes the process itself (`ip netns exec` forks nothing), so
// the command's process id is the program's own.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.Namespace, name}, args...)...)
}

// Run executes a program in the host and returns what it printed on both outputs. Its error names the command, and
// holds the output as well.
func (h *Host) Run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := h.Command(ctx, name, args...)
	output, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("on %s: %s: %w: %s", h.Name, strings.Join(append([]string{name}, args...), " "), err,
			bytes.TrimSpace(output))
	}
	return string(output), err
}

// Do calls f on an operating system thread that is in the host: sockets which f itself makes belong to the host for
// their whole life. Goroutines that f starts are not in it; neither is a dial to a name of several addresses.
func (h *Host) Do(f func() error) (err error) {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("finding this thread's namespace: %w", err)
	}
	defer home.Close()
	if err := netns.Set(h.namespace); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("entering %s: %w", h.Namespace, err)
	}
	defer func() {
		if back := netns.Set(home); back != nil {
			// The thread stays locked, so that it dies with this goroutine and lends nobody else its namespace.
			err = errors.Join(err, fmt.Errorf("leaving %s: %w", h.Namespace, back))
			return
		}
		runtime.UnlockOSThread()
	}()
	return f()
}

// Dial opens a connection from the host. The address is numeric.
func (h *Host) Dial(ctx context.Context, to netip.AddrPort) (*net.TCPConn, error) {
	return h.DialFrom(ctx, netip.AddrPort{}, to)
}

// DialFrom opens a connection from an address of the host; with a zero port the kernel chooses it, with a zero
// address this as well.
func (h *Host) DialFrom(ctx context.Context, from, to netip.AddrPort) (conn *net.TCPConn, err error) {
	var dialer net.Dialer
	if from.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(from)
	}
	err = h.Do(func() error {
		c, err := dialer.DialContext(ctx, "tcp", to.String())
		if err == nil {
			conn = c.(*net.TCPConn)
		}
		return err
	})
	return conn, err
}

// Listen opens a listener in the host, for TCP of the address's family alone. With a zero port the kernel chooses it.
func (h *Host) Listen(ctx context.Context, at netip.AddrPort) (listener *net.TCPListener, err error) {
	network := "tcp6"
	if at.Addr().Is4() {
		network = "tcp4"
	}
	var config net.ListenConfig
	config.SetMultipathTCP(false) // what the hosts say to each other is to be what is written in RFC 959's time
	err = h.Do(func() error {
		l, err := config.Listen(ctx, network, at.String())
		if err == nil {
			listener = l.(*net.TCPListener)
		}
		return err
	})
	return listener, err
}

// SentAgain returns how many TCP segments the host has sent a second time since it was made: a host that has to wait for
// a processor takes them for lost (RFC 8985), and they pass the router twice.
func (h *Host) SentAgain() (segments uint64, err error) {
	err = h.Do(func() error {
		raw, err := os.ReadFile("/proc/thread-self/net/snmp")
		if err != nil {
			return fmt.Errorf("counting what was sent again: %w", err)
		}
		var names []string
		for line := range strings.Lines(string(raw)) {
			fields := strings.Fields(line)
			if len(fields) == 0 || fields[0] != "Tcp:" {
				continue
			}
			if names == nil {
				names = fields
				continue
			}
			at := slices.Index(names, "RetransSegs")
			if at < 0 || at >= len(fields) {
				break
			}
			segments, err = strconv.ParseUint(fields[at], 10, 64)
			return err
		}
		return errors.New("counting what was sent again: the kernel does not tell RetransSegs")
	})
	return segments, err
}

// Sysctl reads a setting of the host's network, written with dots as sysctl(8) does.
func (h *Host) Sysctl(key string) (value string, err error) {
	err = h.Do(func() error {
		raw, err := os.ReadFile(sysctlPath(key))
		value = strings.TrimSpace(string(raw))
		return err
	})
	return value, err
}

// SetSysctl writes a setting of the host's network.
func (h *Host) SetSysctl(key, value string) error {
	err := h.Do(func() error { return os.WriteFile(sysctlPath(key), []byte(value), 0) })
	if err != nil {
		return fmt.Errorf("on %s: setting %s: %w", h.Name, key, err)
	}
	return nil
}

// PreferULA makes programs of a LAN host start IPv6 connections from its unique local address, which the router
// translates, or from its global one again, which it does not. The other address is deprecated (RFC 4862, 5.5.4), so
// the host still answers at it.
func (h *Host) PreferULA(ctx context.Context, yes bool) error {
	link := h.links[len(h.links)-1]
	for address, preferred := range map[netip.Addr]bool{link.ULA: yes, link.IPv6: !yes} {
		lifetime := "0"
		if preferred {
			lifetime = "forever"
		}
		_, err := h.Run(ctx, "ip", "address", "change", address.String()+"/64", "dev", link.Name, "nodad",
			"valid_lft", "forever", "preferred_lft", lifetime)
		if err != nil {
			return err
		}
	}
	return nil
}
