package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/ftpgate/ftpgate/configs"
	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/nat"
	"github.com/ftpgate/ftpgate/proxy"
	"github.com/ftpgate/ftpgate/proxy/audit"
	"github.com/ftpgate/ftpgate/proxy/status"
)

const (
	// stopGrace is how long sessions may take to end by themselves when the
	// gateway stops.
	stopGrace = 2 * time.Second
	// verifyEvery is the time between two looks at our ip rules and routes.
	verifyEvery = 2 * time.Second
	// notes is where the settings of the host are noted while they are changed.
	notes = "/run/ftpgate"
)

// gateway is everything that one daemon holds, in the order of its start.
type gateway struct {
	log       *zap.Logger
	audit     *audit.Log
	config    *configs.Config
	ipv6      bool
	flows     *nat.Flows
	routes    *nat.Routes
	changes   *nat.Changes
	changed   chan struct{} // has a token when the network has changed
	refused   *nat.Refused  // nil: the kernel does not tell of refused packets
	listeners []*net.TCPListener
	routing   *nat.Routing
	forwards  *nat.Forwarding
	pinholes  *firewall.Manager
	server    *proxy.Server
	ports     *nat.Ports
	chosen    choice
	status    *status.Server
	outlook   *outlook        // what status tells
	settings  *proxy.Settings // of config, as the server has them
	former    []era           // configurations of which sessions still run
	undo      []step
}

// step is one thing to take back at the stop.
type step struct {
	what string
	do   func() error
}

// start brings everything up. When it fails, or ctx ends before it is done
// (errStopped), everything that was done is undone before it returns.
func start(ctx context.Context, c *configs.Config, log *zap.Logger) (*gateway, error) {
	g := &gateway{log: log, config: c, ipv6: nat.HasIPv6(), changed: make(chan struct{}, 1)}
	claim := func(context.Context) error { return g.claim(lasting(c)) }
	for _, part := range []func(context.Context) error{claim, g.report, g.openAudit, g.observe, g.listen, g.route, g.filter, g.forward, g.serve} {
		err := part(ctx)
		if err == nil && ctx.Err() == nil {
			continue
		}
		if undone := g.takeBack(); err != nil || undone != nil {
			return nil, errors.Join(err, undone)
		}
		return nil, errStopped
	}
	return g, nil
}

// errStopped is a stop in the middle of the start: nothing failed.
var errStopped = errors.New("stopped before the start was complete")

func (g *gateway) later(what string, do func() error) { g.undo = append(g.undo, step{what, do}) }

// takeBack undoes in reverse what was done; one failing step does not keep the
// others from being undone.
func (g *gateway) takeBack() error {
	var failed []error
	for _, s := range slices.Backward(g.undo) {
		if err := s.do(); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", s.what, err))
		}
	}
	g.undo = nil
	return errors.Join(failed...)
}

// openAudit opens the audit files. They are closed when the sessions have ended.
func (g *gateway) openAudit(context.Context) error {
	var err error
	if g.audit, err = audit.Open(g.log, auditFiles(g.config)); err != nil {
		return err
	}
	g.later("closing the audit files", g.audit.Close)
	return nil
}

func auditFiles(c *configs.Config) audit.Files {
	return audit.Files{Transfers: c.Audit.Transfers, Xferlog: c.Audit.Xferlog}
}

// observe subscribes to conntrack before anything can be opened.
func (g *gateway) observe(context.Context) error {
	settings := nat.Settings{Dir: notes}
	for what, enable := range map[string]func() (func() error, error){
		"restoring conntrack accounting": settings.EnableAccounting,
		"restoring conntrack events":     settings.EnableEvents,
	} {
		restore, err := enable()
		if err != nil {
			return err
		}
		g.later(what, restore)
	}
	var err error
	if g.flows, err = nat.Watch(g.log, holeMark, markMask); err != nil {
		return err
	}
	g.later("closing the conntrack watch", g.flows.Close)
	if g.routes, err = nat.OpenRoutes(); err != nil {
		return err
	}
	g.later("closing the sockets for routes", g.routes.Close)
	if g.changes, err = nat.WatchChanges(g.log, g.notice); err != nil {
		return err
	}
	g.later("closing the watch on the network", g.changes.Close)
	if g.refused, err = nat.WatchRefused(g.log, g.routes, refusedGroup); err != nil {
		g.refused = nil
		g.log.Warn("refused packets cannot be seen: why a data connection did not come is told with less certainty", zap.Error(err))
		return nil
	}
	g.later("closing the watch on refused packets", g.refused.Close)
	return nil
}

// notice is told of each change of the network; who runs the gateway adapts it.
func (g *gateway) notice() {
	select {
	case g.changed <- struct{}{}:
	default: // a token that is there already will do
	}
}

// adapt follows a change of the network.
func (g *gateway) adapt() {
	g.verify()
	g.server.AddressesChanged()
}

// holds tells whether an address is still the host's own.
func (g *gateway) holds(address netip.Addr) bool {
	if g.changes.Local(address) {
		return true
	}
	local, _, err := g.routes.Delivery(address) // of a whole network, say
	return err != nil || local
}

// listen opens the transparent listeners. They are heard only once the rules
// lead to them.
func (g *gateway) listen(ctx context.Context) error {
	listeners, err := nat.Listen(ctx, g.config.ListenPort)
	if err != nil {
		return err
	}
	g.listeners = listeners
	g.later("closing the listeners", g.deafen)
	return nil
}

func (g *gateway) deafen() error { return closeAll(g.listeners) }

func closeAll(listeners []*net.TCPListener) error {
	var failed []error
	for _, l := range listeners {
		failed = append(failed, l.Close())
	}
	return errors.Join(failed...)
}

// route brings the packets that are taken over to our sockets.
func (g *gateway) route(context.Context) error {
	g.routing = g.routingOf(g.interfaces(g.config))
	g.later("removing the ip rules and routes", func() error { return g.routing.Remove() })
	err := g.routing.Install()
	g.outlook.verified(0, err)
	return err
}

func (g *gateway) routingOf(interfaces []string) *nat.Routing {
	return &nat.Routing{Mark: takeMark, Mask: markMask, IPv4: true, IPv6: g.ipv6, Interfaces: interfaces}
}

// filter puts the static rules in place; from then on connections arrive, and
// wait in the listeners until serve.
func (g *gateway) filter(context.Context) error {
	// What a run that was killed has left on goes off while its guard is replaced.
	g.forwards = &nat.Forwarding{Settings: nat.Settings{Dir: notes}, IPv6: g.ipv6}
	if err := g.forwards.Release(); err != nil {
		return fmt.Errorf("restoring the kernel's forwarding: %w", err)
	}
	frame := g.frame(g.config)
	chosen, err := choose(g.config, frame)
	if err != nil {
		return err
	}
	chosen.tell(g.log)
	g.chosen = chosen
	g.pinholes = firewall.NewManager(chosen.backend, firewall.Options{
		Lifetime: g.config.Firewall.PinholeTimeout, MaxHoles: chosen.most, Log: g.log,
	})
	g.later("removing the firewall rules", g.pinholes.Stop)
	return g.pinholes.Start(frame)
}

// forward makes the host a router if the configuration wants it. By now the packet filter admits from the WAN what it
// should and nothing else; at the stop the host ceases to forward before it ceases to filter.
func (g *gateway) forward(context.Context) error {
	g.later("restoring the kernel's forwarding", func() error { return g.forwards.Release() })
	return g.followForwarding(g.config)
}

// followForwarding fits the kernel's settings to a configuration, and to the interfaces that there are now.
func (g *gateway) followForwarding(c *configs.Config) error {
	if !c.Firewall.Forwarding {
		return g.forwards.Release()
	}
	if err := g.forwards.Hold(c.Interfaces.WAN); err != nil {
		return fmt.Errorf("firewall.forwarding: turning the kernel's IP forwarding on: %w", err)
	}
	return nil
}

// serve lets sessions begin.
func (g *gateway) serve(context.Context) error {
	g.server = &proxy.Server{Pinholes: g.pinholes, Expect: proxy.Expect(g.flows), Clear: g.flows.Clear, Log: g.log,
		Witness: witness{g.pinholes, g.flows, g.routes, g.refused}, Holds: g.holds, Done: g.audit.Record}
	g.settings = g.settingsOf(g.config)
	g.server.Apply(g.settings)
	g.hear(g.listeners)
	g.publish("")
	g.later("ending the sessions", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
		defer cancel()
		g.server.Shutdown(ctx)
		return nil
	})
	return nil
}

func (g *gateway) hear(listeners []*net.TCPListener) {
	for _, l := range listeners {
		go g.server.Serve(l)
	}
}

func (g *gateway) settingsOf(c *configs.Config) *proxy.Settings {
	if g.ports == nil || c.DataPorts != g.config.DataPorts {
		// Ports that the old range has lent stay bound, so the new one passes them over.
		g.ports = nat.NewPorts(c.DataPorts.First, c.DataPorts.Last)
	}
	s := &proxy.Settings{
		Rules: rulesOf(c),
		Network: proxy.Router{LAN: c.Interfaces.LAN, WAN: c.Interfaces.WAN, Mark: takeMark, Mask: markMask,
			Routes: g.routes, Flows: g.flows, Steered: g.changes.Steered},
		Ports: g.ports,
	}
	switch {
	case c.Advertise.Host != "":
		s.Advertise = proxy.HostName(c.Advertise.Host)
	case c.Advertise.Address.IsValid():
		s.Advertise = proxy.FixedAddress(c.Advertise.Address)
	}
	return s
}
