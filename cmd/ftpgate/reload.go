package main

import (
	"context"
	"errors"
	"net"
	"slices"

	"go.uber.org/zap"

	"github.com/ftpgate/ftpgate/configs"
	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/nat"
	"github.com/ftpgate/ftpgate/proxy"
)

// era is a configuration that has been replaced, as long as sessions run that
// began with it: the rules that carry their control connections must stay.
type era struct {
	config   *configs.Config
	settings *proxy.Settings
}

// reload puts a new configuration in force for connections to come. Running
// sessions keep their rule. After an error the old configuration is in force.
func (g *gateway) reload(ctx context.Context, c *configs.Config) error {
	door, err := g.status.Prepare(statusOptions(c))
	if err != nil {
		return err
	}
	defer door.Abandon()         // unless it is committed
	var fresh []*net.TCPListener // nil: the present ones stay
	if c.ListenPort != g.config.ListenPort {
		if fresh, err = nat.Listen(ctx, c.ListenPort); err != nil {
			return err
		}
		g.hear(fresh)
	}
	g.former = append(g.former, era{g.config, g.settings})
	if err := g.rearrange(c); err != nil {
		g.former = g.former[:len(g.former)-1]
		return errors.Join(err, closeAll(fresh), g.rearrange(g.config))
	}
	g.pinholes.SetLifetime(c.Firewall.PinholeTimeout)
	g.settings = g.settingsOf(c)
	g.server.Apply(g.settings)
	if fresh != nil {
		closeAll(g.listeners)
		g.listeners = fresh
	}
	g.config = c
	door.Commit()
	g.publish("")
	return nil
}

// rearrange fits the host's rules and routes to a configuration, and to the
// former ones whose sessions still run.
func (g *gateway) rearrange(c *configs.Config) error {
	if !c.Firewall.Forwarding { // before nothing guards it any more
		if err := g.followForwarding(c); err != nil {
			return err
		}
	}
	routing := g.routingOf(g.interfaces(c))
	if err := routing.Install(); err != nil {
		return err
	}
	g.routing = routing
	if err := g.pinholes.Reframe(g.frame(c)); err != nil {
		return err
	}
	return g.followForwarding(c)
}

// interfaces are those of a configuration and of the former ones.
func (g *gateway) interfaces(c *configs.Config) []string {
	names := slices.Concat(c.Interfaces.LAN, c.Interfaces.WAN)
	for _, e := range g.former {
		names = slices.Concat(names, e.config.Interfaces.LAN, e.config.Interfaces.WAN)
	}
	return unique(names)
}

// frame is that of a configuration with what running sessions of the former
// ones need beside it.
func (g *gateway) frame(c *configs.Config) firewall.Frame {
	f := frameOf(c, g.ipv6)
	if g.refused != nil {
		f.Refused = firewall.RefusedLog{Group: refusedGroup, First: c.DataPorts.First, Last: c.DataPorts.Last}
	}
	for _, e := range g.former {
		was := frameOf(e.config, g.ipv6)
		for _, t := range was.Takeovers {
			f.Takeovers = append(f.Takeovers, firewall.Takeover{Interface: t.Interface, Port: t.Port, Scope: firewall.Established})
		}
		f.Returns = unique(append(f.Returns, was.Returns...))
		f.ServerPorts = unique(append(f.ServerPorts, was.ServerPorts...))
	}
	f.Takeovers = unique(f.Takeovers)
	return f
}

// outlive drops the former configurations whose last session has ended.
func (g *gateway) outlive() {
	kept := slices.DeleteFunc(slices.Clone(g.former), func(e era) bool { return !g.server.InUse(e.settings) })
	if len(kept) == len(g.former) {
		return
	}
	g.former = kept
	if err := g.rearrange(g.config); err != nil {
		g.log.Error("removing what a former configuration needed", zap.String("why", err.Error()))
	}
}

// verify looks after the ip rules and routes; the firewall's rules are looked
// after by their Manager.
func (g *gateway) verify() {
	g.outlive()
	repaired, err := g.routing.Verify()
	g.outlook.verified(len(repaired), err)
	if len(repaired) > 0 {
		g.log.Warn("another program changed our ip rules or routes: repaired", zap.Strings("why", repaired))
	}
	if err != nil {
		g.log.Error("verifying the ip rules and routes", zap.String("why", err.Error()))
	}
	if g.config.Firewall.Forwarding { // an interface may have come
		if err := g.followForwarding(g.config); err != nil {
			g.log.Error("verifying the kernel's forwarding", zap.String("why", err.Error()))
		}
	}
}
