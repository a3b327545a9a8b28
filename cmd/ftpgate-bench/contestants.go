package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
)

const (
	// startTime bounds the start of each program in a lab.
	startTime = 15 * time.Second
	// orderTime is what an order may take beyond the duration that it asks for.
	orderTime = 60 * time.Second
)

// The contestants, in the order of the columns.
const (
	forward    = "forward"
	kernel     = "kernel"
	modProxy   = "modproxy"
	bareRelay  = "relay"
	ftpgateNFT = "ftpgate-nft"
	ftpgateIPT = "ftpgate-ipt"
)

// entry says how a contestant's router is made.
type entry struct {
	name    string
	about   string
	filter  lab.Filter
	bare    bool // no masquerade and no rules of a user
	prepare func(ctx context.Context, c *contestant) error
}

// entries are all contestants. Those that translate have the same router: stateful filter, masquerade, some rules of
// its administrator.
func entries() []entry {
	return []entry{
		{forward, "plain routing, no filter, no translation", lab.FilterOpen, true, nil},
		{kernel, "nf_conntrack_ftp and nf_nat_ftp, assigned by a CT target; stateful filter, masquerade",
			lab.FilterStateful, false, useKernelHelper},
		{modProxy, "ProFTPD with mod_proxy as reverse proxy on a router that filters nothing",
			lab.FilterOpen, true, startModProxy},
		{bareRelay, "a program that only passes control connections on as they come (TPROXY, Go), on a router that filters nothing: the " +
			"least that any gateway in user space costs", lab.FilterOpen, true, startRelay},
		{ftpgateNFT, "ftpgate, firewall.backend nftables; stateful filter, masquerade",
			lab.FilterStateful, false, startFTPGate("nftables")},
		{ftpgateIPT, "ftpgate, firewall.backend iptables (iptables-nft); stateful filter, masquerade",
			lab.FilterStateful, false, startFTPGate("iptables")},
	}
}

// contestant is an entry that is set up: a lab of its own, with a server, and with something on the router.
type contestant struct {
	entry
	options
	lab     *lab.Lab
	dial    netip.AddrPort // what the clients dial
	gateway *lab.Process   // on the router; nil if the kernel alone is
	remove  []string       // directories
}

// newContestant builds the lab and starts the server and the gateway. The caller closes it.
func newContestant(ctx context.Context, e entry, o options) (*contestant, error) {
	l, err := lab.New(ctx, lab.Options{Name: "bench", Filter: e.filter, NoUserRules: e.bare, NoMasquerade: e.bare})
	if err != nil {
		return nil, err
	}
	c := &contestant{entry: e, options: o, lab: l}
	c.dial = netip.AddrPortFrom(l.Host(lab.Outside).IPv4(), controlPort)
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", e.name, err), c.close())
	}
	return c, nil
}

func (c *contestant) start(ctx context.Context) error {
	for _, host := range []string{lab.Client, lab.Outside} {
		if err := makeRoom(c.lab.Host(host)); err != nil {
			return err
		}
	}
	server, err := c.lab.Host(lab.Outside).Start(c.self, serveCommand)
	if err != nil {
		return err
	}
	if err := awaitText(ctx, server, serving); err != nil {
		return err
	}
	if c.prepare == nil {
		return nil
	}
	return c.prepare(ctx, c)
}

// makeRoom lets a host make tens of thousands of connections to one address within a minute: each holds its port in
// TIME-WAIT so long. The ports are above those of well-known services (27017 is the last), to which ftpgate lets no
// data connection go.
func makeRoom(h *lab.Host) error {
	return errors.Join(
		h.SetSysctl("net.ipv4.ip_local_port_range", "28000 65535"),
		h.SetSysctl("net.ipv4.tcp_tw_reuse", "1"),
	)
}

func awaitText(ctx context.Context, p *lab.Process, text string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return p.WaitOutput(ctx, text)
}

// close removes all of the contestant.
func (c *contestant) close() error {
	failed := []error{c.lab.Close()}
	for _, dir := range c.remove {
		failed = append(failed, os.RemoveAll(dir))
	}
	return errors.Join(failed...)
}

// pid is the gateway's process, zero if there is none.
func (c *contestant) pid() int {
	if c.gateway == nil {
		return 0
	}
	return c.gateway.PID()
}

// begin starts a client process with an order.
func (c *contestant) begin(o order) (*lab.Process, error) {
	o.Server = c.dial
	text, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("writing the order: %w", err)
	}
	return c.lab.Host(lab.Client).Start(c.self, loadCommand, string(text))
}

// run carries out an order and returns its outcome.
func (c *contestant) run(ctx context.Context, o order) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Duration+orderTime)
	defer cancel()
	p, err := c.begin(o)
	if err != nil {
		return outcome{}, err
	}
	if err := p.Wait(ctx); err != nil {
		p.Kill()
		return outcome{}, fmt.Errorf("%s, %s: %w\n%s", c.name, o.Kind, err, strings.TrimSpace(p.Output()))
	}
	return lastOutcome(p.Output())
}

// lastOutcome reads the last line that a client process printed.
func lastOutcome(output string) (r outcome, err error) {
	output = strings.TrimSpace(output)
	if err := json.Unmarshal([]byte(output[strings.LastIndexByte(output, '\n')+1:]), &r); err != nil {
		return r, fmt.Errorf("reading what the clients measured: %w: %q", err, output)
	}
	return r, nil
}

// hold makes so many idle sessions and returns the process that has them, for the caller to stop. It fails when they
// are not there within a time; what is there of them then stays until stop.
func (c *contestant) hold(ctx context.Context, sessions int, pinholes bool, within time.Duration) (*lab.Process, error) {
	p, err := c.begin(order{Kind: hold, Sessions: sessions, Pinholes: pinholes})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := p.WaitOutput(ctx, holding); err != nil {
		p.Kill()
		return nil, fmt.Errorf("%s: holding %d sessions: %w", c.name, sessions, err)
	}
	return p, nil
}

// useKernelHelper is the router without any program: the kernel's own FTP helper, and a filter that lets out
// connections to the control port and what belongs to those.
func useKernelHelper(ctx context.Context, c *contestant) error {
	for _, rule := range []string{
		"-t raw -A PREROUTING -i lan0 -p tcp --dport 21 -j CT --helper ftp",
		"-A FORWARD -i lan0 -o wan0 -p tcp --dport 21 -m conntrack --ctstate NEW -j ACCEPT",
	} {
		if _, err := c.lab.Host(lab.Router).Run(ctx, "iptables-nft", strings.Fields(rule)...); err != nil {
			return fmt.Errorf("setting the kernel's helper up: %w", err)
		}
	}
	return nil
}
