// Package lab builds a router with two network interfaces out of network namespaces: a LAN behind it, a piece of the
// Internet in front of it, and hosts on both. The demo, the tests against the real kernel and the benchmarks run
// programs in these hosts; peers, the package below, knows the FTP programs among them.
//
// A lab needs root and the programs that install.sh puts in place. Nothing in it leaves its own namespaces.
package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
)

// Variant names one of the two iptables implementations that a host may carry its rules in.
type Variant string

// The variants, as the programs iptables-nft and iptables-legacy call themselves.
const (
	NFT    Variant = "nft"
	Legacy Variant = "legacy"
)

// Filter is how strict the router's own filter table is.
type Filter int

const (
	// FilterStateful drops in INPUT and FORWARD and accepts what belongs to a known connection, as most routers do.
	FilterStateful Filter = iota
	// FilterBare drops in INPUT and FORWARD and accepts nothing but loopback and ICMPv6: what passes, the tested
	// program has admitted itself.
	FilterBare
	// FilterOpen accepts everything: plain routing, the yardstick of benchmarks.
	FilterOpen
)

// Options say which lab to build. The zero value is the usual one: rules in iptables-nft, stateful, masquerading, with
// user rules in each table.
type Options struct {
	// Name begins the name of each namespace, which reads NAME-PID-RANDOM-HOST. Default "ftpgate".
	Name string
	// Variant carries the router's rules. Default NFT.
	Variant Variant
	Filter  Filter
	// NoUserRules leaves out the rules and chains that stand for those of the router's administrator.
	NoUserRules bool
	// NoMasquerade leaves out the translation of 192.168.50.0/24 and fd50::/64 on wan0.
	NoMasquerade bool
	// Bare leaves the router as it comes out of its box: it has addresses, no rules, and does not forward.
	Bare bool
	// ProcessLog, if not empty, is a directory in which each background process leaves its output in a file.
	ProcessLog string
}

// Lab is one virtual router with its hosts.
type Lab struct {
	options  Options
	prefix   string
	switchNS *Host
	hosts    map[string]*Host
	warden   *warden
	close    func() error

	mu        sync.Mutex
	closed    bool
	processes []*Process
}

// New builds a lab. The caller closes it. On an error nothing is left behind.
func New(ctx context.Context, options Options) (*Lab, error) {
	if options.Name == "" {
		options.Name = "ftpgate"
	}
	if options.Variant == "" {
		options.Variant = NFT
	}
	if options.Variant != NFT && options.Variant != Legacy {
		return nil, fmt.Errorf("lab: unknown iptables variant %q", options.Variant)
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("lab: network namespaces need root")
	}
	prefix := newPrefix(options.Name)
	warden, err := startWarden(prefix)
	if err != nil {
		return nil, fmt.Errorf("lab %s: %w", prefix, err)
	}
	l := &Lab{options: options, prefix: prefix, hosts: make(map[string]*Host), warden: warden}
	l.close = sync.OnceValue(l.tearDown)
	if err := l.build(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("lab %s: %w", prefix, err), l.Close())
	}
	return l, nil
}

// build makes the namespaces, the wires and the rules, in this order.
func (l *Lab) build(ctx context.Context) error {
	if err := l.makeNamespaces(ctx); err != nil {
		return err
	}
	if err := l.wire(); err != nil {
		return err
	}
	if l.options.Bare {
		return nil
	}
	return l.loadRules(ctx)
}

// Close ends the background processes that were started in the lab and removes the namespaces with all that is in them. A second
// call returns what the first one did.
func (l *Lab) Close() error { return l.close() }

// tearDown is Close, once. It works on a lab that was built in part.
func (l *Lab) tearDown() error {
	l.stopProcesses()
	for _, h := range l.everyHost() {
		h.namespace.Close()
	}
	return errors.Join(removeNamespaces(l.prefix), l.warden.dismiss())
}

// stopProcesses ends all background processes that still run, all at the same time, and lets no further one start. They
// may end as they like: whoever cares has stopped them before.
func (l *Lab) stopProcesses() {
	l.mu.Lock()
	running := l.processes
	l.closed = true
	l.mu.Unlock()
	var wg sync.WaitGroup
	for _, p := range running {
		if !p.ended() {
			wg.Go(func() { _ = p.Stop() })
		}
	}
	wg.Wait()
}

// Prefix is what the names of this lab's namespaces begin with.
func (l *Lab) Prefix() string { return l.prefix }

// Variant is the iptables implementation that holds the router's rules.
func (l *Lab) Variant() Variant { return l.options.Variant }

// Host returns the host of that name: Router, Client, Server, Outside or Third. Another name is a mistake in the
// caller, and panics.
func (l *Lab) Host(name string) *Host {
	h, ok := l.hosts[name]
	if !ok {
		panic(fmt.Sprintf("lab: there is no host %q, only %s", name,
			strings.Join(slices.Sorted(maps.Keys(l.hosts)), ", ")))
	}
	return h
}

// everyHost lists the hosts and the switch between them, as far as they exist.
func (l *Lab) everyHost() []*Host {
	all := slices.Collect(maps.Values(l.hosts))
	if l.switchNS != nil {
		all = append(all, l.switchNS)
	}
	return all
}
