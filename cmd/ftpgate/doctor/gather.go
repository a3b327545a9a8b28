package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/configs"
	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/firewall/iptables"
	"github.com/ftpgate/ftpgate/nat"
)

// programTimeout ends a program of nft that hangs.
const programTimeout = 15 * time.Second

// instance is the abstract socket that a running gateway holds, as /proc/net/unix shows it.
const instance = " @ftpgate"

// What Facts.Unread names.
const (
	unreadRules   = "the packet filter"
	unreadLinks   = "interfaces"
	unreadRouting = "ip rules"
	unreadSockets = "sockets"
)

// Gather looks at the host, in the network namespace of the caller, and changes nothing.
func Gather(path string, c *configs.Config, frame firewall.Frame, b Backend) *Facts {
	f := gatherNetwork(c, frame)
	f.Path, f.Backend = path, b
	f.Running = running()
	f.Capabilities = effective()
	f.unread(unreadRouting, f.readRouting())
	f.unread(unreadRules, f.readRules())
	var err error
	f.Listeners, err = nat.Listeners()
	f.unread(unreadSockets, err)
	return f
}

// gatherNetwork looks at interfaces, routes and settings.
func gatherNetwork(c *configs.Config, frame firewall.Frame) *Facts {
	f := &Facts{Path: "the configuration", Config: c, Frame: frame, Unread: map[string]string{}, Settings: map[string]string{}}
	f.unread(unreadLinks, f.readLinks())
	f.readSettings()
	return f
}

func (f *Facts) unread(what string, err error) {
	if err != nil {
		f.Unread[what] = told(err)
	}
}

// told is an error on one line, with those that were joined side by side.
func told(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// ErrUnprivileged is of one who may not look at the packet filter.
var ErrUnprivileged = errors.New("for want of CAP_NET_ADMIN; ask as root")

// Privileged tells whether this process may look at the packet filter.
func Privileged() bool { return effective()&(1<<unix.CAP_NET_ADMIN) != 0 }

// running tells whether a gateway serves this network namespace.
func running() bool {
	sockets, err := os.ReadFile("/proc/thread-self/net/unix")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(sockets)) {
		if strings.HasSuffix(strings.TrimSpace(line), instance) {
			return true
		}
	}
	return false
}

// effective are the capabilities that this process has.
func effective() uint64 {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return 0
	}
	return uint64(data[1].Effective)<<32 | uint64(data[0].Effective)
}

// readSettings reads the sysctls that the checks ask for.
func (f *Facts) readSettings() {
	names := []string{
		"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.all.rp_filter",
		"net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
		"net.netfilter.nf_conntrack_helper", "net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max",
		"net.netfilter.nf_conntrack_acct", "net.netfilter.nf_conntrack_events",
		"net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables",
	}
	for _, name := range f.interfaces() {
		names = append(names, "net.ipv4.conf."+name+".rp_filter", "net.ipv4.conf."+name+".forwarding")
	}
	for _, name := range names {
		if value, err := os.ReadFile(sysctl(name, f.interfaces())); err == nil {
			f.Settings[name] = strings.Join(strings.Fields(string(value)), " ")
		}
	}
}

// sysctl is the file of a setting. The name of an interface may have dots of its own.
func sysctl(name string, interfaces []string) string {
	for _, i := range interfaces {
		if before, after, ok := strings.Cut(name, "."+i+"."); ok {
			return filepath.Join("/proc/sys", strings.ReplaceAll(before, ".", "/"), i, after)
		}
	}
	return filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
}

// readRules reads iptables of both variants, and the tables of nft that iptables does not show.
func (f *Facts) readRules() error {
	if !Privileged() {
		return ErrUnprivileged
	}
	tables, unread := iptables.Survey()
	f.Ruleset.addIPTables(tables)
	err := errors.Join(unread...)
	shown := map[string]bool{}
	for _, t := range tables {
		family := "ip6"
		if t.IPv4 {
			family = "ip"
		}
		if t.Variant == iptables.NFT {
			shown[family+" "+t.Name] = true
		}
	}
	list, failed := nft("list", "tables")
	if errors.Is(failed, exec.ErrNotFound) {
		return errors.Join(err, errors.New("native nftables: the program nft is missing (Debian: apt-get install nftables)"))
	}
	if failed != nil {
		return errors.Join(err, failed)
	}
	for line := range strings.Lines(string(list)) {
		words := strings.Fields(line) // "table inet filter"
		if len(words) < 3 || words[0] != "table" {
			continue
		}
		switch family, name := words[1], words[2]; {
		case shown[family+" "+name]:
		case name == "ftpgate" && family != "inet":
			f.OurTable = true
		default:
			err = errors.Join(err, f.readTable(family, name))
		}
	}
	return err
}

func (f *Facts) readTable(family, name string) error {
	document, err := nft("-j", "list", "table", family, name)
	if err != nil {
		return err
	}
	listing, err := nft("-a", "list", "table", family, name)
	if err != nil {
		return err
	}
	return f.Ruleset.addNFT(document, listing)
}

func nft(args ...string) ([]byte, error) {
	path, err := exec.LookPath(programNFT)
	if err != nil {
		if path = "/usr/sbin/nft"; !executable(path) { // not in the PATH of everybody
			return nil, exec.ErrNotFound
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), programTimeout)
	defer cancel()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("nft %s has not ended within %s: does another program hold the packet filter?", strings.Join(args, " "), programTimeout)
	}
	if err != nil {
		return nil, fmt.Errorf("nft %s: %w: %s", strings.Join(args, " "), err, strings.Join(strings.Fields(said.String()), " "))
	}
	return out.Bytes(), nil
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}
