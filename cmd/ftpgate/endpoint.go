package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ftpgate/ftpgate/configs"
	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/nat"
	"github.com/ftpgate/ftpgate/proxy"
	"github.com/ftpgate/ftpgate/proxy/audit"
	"github.com/ftpgate/ftpgate/proxy/status"
)

// verifiedFor is how long a look that found the rules in place counts: three
// that should have come without one that did.
const verifiedFor = 3 * verifyEvery

// lookAgain is how old what is told of the host may be.
const lookAgain = 10 * time.Second

// outlook is the gateway as the status endpoint sees it. The endpoint is the
// first part to start and the last to stop, so that what the others are for it
// may be nil. What it tells is put there by whoever changes it.
type outlook struct {
	began time.Time
	parts atomic.Pointer[parts]

	mu   sync.Mutex
	fate status.Gateway // reloads, repairs
	// routed is when the ip rules and routes were last seen to be in place.
	routed time.Time

	looking  sync.Mutex
	warnings []string
	seen     *parts // that they are about
	looked   time.Time
}

// parts are those that there are.
type parts struct {
	config   *configs.Config
	ipv6     bool
	choice   choice
	audit    *audit.Log
	flows    *nat.Flows
	pinholes *firewall.Manager
	ports    *nat.Ports
	server   *proxy.Server
	serving  bool   // connections are accepted
	phase    string // why not
}

// publish shows the endpoint what there is now.
func (g *gateway) publish(phase string) {
	g.outlook.parts.Store(&parts{
		config: g.config, ipv6: g.ipv6, choice: g.chosen, audit: g.audit, flows: g.flows, pinholes: g.pinholes, ports: g.ports, server: g.server,
		serving: phase == "", phase: phase,
	})
}

// report opens the status endpoint before anything else, so that it can tell
// of a start that takes long, and closes it after everything else.
func (g *gateway) report(context.Context) error {
	g.outlook = &outlook{began: time.Now()}
	g.publish("it is starting")
	g.status = status.New(g.outlook, g.log)
	change, err := g.status.Prepare(statusOptions(g.config))
	if err != nil {
		g.status.Close()
		return err
	}
	change.Commit()
	g.later("closing the status endpoint", g.status.Close)
	return nil
}

func statusOptions(c *configs.Config) status.Options {
	return status.Options{Listen: c.Status.Listen, TokenFile: c.Status.TokenFile, Certificate: c.Status.TLSCertificate, Key: c.Status.TLSKey}
}

// verified notes a look at the ip rules and routes, and what it repaired.
func (o *outlook) verified(repaired int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fate.RouteRepairs += uint64(repaired)
	if err == nil {
		o.routed = time.Now()
	}
}

// reloaded notes how a reload went.
func (o *outlook) reloaded(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.fate.FailedReloads++
		o.fate.ReloadError = err.Error()
		return
	}
	o.fate.Reloads++
	o.fate.Reloaded, o.fate.ReloadError = time.Now(), ""
}

func (o *outlook) Gateway() status.Gateway {
	p := o.parts.Load()
	o.mu.Lock()
	v, routed := o.fate, o.routed
	o.mu.Unlock()
	v.Version, v.Began = versionText(), o.began
	if p.choice.backend != nil {
		v.Backend, v.BackendWhy = p.choice.backend.Name(), p.choice.reason
	}
	v.Interfaces = interfacesOf(p.config.Interfaces)
	for _, r := range p.config.Rules {
		v.Rules = append(v.Rules, status.Rule{Name: r.Name, Direction: string(r.Direction), Ports: r.Ports, Limit: r.Limits.Sessions})
	}
	if p.audit != nil {
		v.Audit = status.Audit(p.audit.Stats())
	}
	v.NotReady = p.notReady(routed, o.FirewallStats())
	v.Ready = v.NotReady == ""
	return v
}

// Warnings looks at the host, at most every lookAgain: a router may have a million
// routes, and a dashboard asks every two seconds.
func (o *outlook) Warnings() []string {
	p := o.parts.Load()
	o.looking.Lock()
	defer o.looking.Unlock()
	if p == o.seen && time.Since(o.looked) < lookAgain {
		return o.warnings
	}
	o.warnings = nil
	for _, w := range hostWarnings(p.config, p.ipv6) {
		o.warnings = append(o.warnings, w.String())
	}
	if p.choice.warning != "" {
		o.warnings = append(o.warnings, p.choice.warning)
	}
	o.seen, o.looked = p, time.Now()
	return o.warnings
}

// notReady says why connections are not served as they should be; "": they are.
func (p *parts) notReady(routed time.Time, s firewall.Stats) string {
	switch {
	case !p.serving:
		return p.phase
	case time.Since(s.VerifiedAt) > verifiedFor:
		why := s.LastError
		if why == "" {
			why = "the packet filter does not answer"
		}
		return fmt.Sprintf("the firewall rules were last seen in place %s ago: %s", time.Since(s.VerifiedAt).Round(time.Second), why)
	case time.Since(routed) > verifiedFor:
		return fmt.Sprintf("the ip rules and routes were last seen in place %s ago", time.Since(routed).Round(time.Second))
	}
	return ""
}

// interfacesOf looks at the host's present ones.
func interfacesOf(c configs.Interfaces) []status.Interface {
	var all []status.Interface
	for _, side := range []struct {
		name  string
		names []string
	}{{"lan", c.LAN}, {"wan", c.WAN}} {
		for _, name := range side.names {
			v := status.Interface{Name: name, Side: side.name, Addresses: []string{}}
			if i, err := net.InterfaceByName(name); err == nil {
				v.Present, v.Up = true, i.Flags&net.FlagUp != 0 && i.Flags&net.FlagRunning != 0
				addresses, _ := i.Addrs() // an interface that has just gone has none
				for _, a := range addresses {
					v.Addresses = append(v.Addresses, a.String())
				}
			}
			all = append(all, v)
		}
	}
	return all
}

func (o *outlook) Sessions(after uint64, limit int) []proxy.Session {
	if p := o.parts.Load(); p.server != nil {
		return p.server.Sessions(after, limit)
	}
	return nil
}

func (o *outlook) Transfers() []proxy.Transfer {
	if p := o.parts.Load(); p.server != nil {
		return p.server.Transfers()
	}
	return nil
}

func (o *outlook) TurnedAway() []proxy.TurnedAway {
	if p := o.parts.Load(); p.server != nil {
		return p.server.TurnedAway()
	}
	return nil
}

func (o *outlook) SessionStats() proxy.Stats {
	if p := o.parts.Load(); p.server != nil {
		return p.server.Stats()
	}
	return proxy.Stats{}
}

func (o *outlook) Carried() (bytes uint64, running int) {
	if p := o.parts.Load(); p.server != nil {
		return p.server.Carried()
	}
	return 0, 0
}

func (o *outlook) Pinholes() []proxy.Pinhole {
	if p := o.parts.Load(); p.server != nil {
		return p.server.Holes()
	}
	return nil
}

func (o *outlook) FirewallStats() firewall.Stats {
	if p := o.parts.Load(); p.pinholes != nil {
		return p.pinholes.Stats()
	}
	return firewall.Stats{}
}

func (o *outlook) PortStats() nat.PortStats {
	if p := o.parts.Load(); p.ports != nil {
		return p.ports.Stats()
	}
	return nat.PortStats{}
}

func (o *outlook) FlowStats() nat.FlowStats {
	if p := o.parts.Load(); p.flows != nil {
		return p.flows.Stats()
	}
	return nat.FlowStats{}
}
