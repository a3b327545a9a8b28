package main

import (
	"context"
	"errors"
	"net"
	"slices"

	"go.uber.org/zap"

	"github.com/ftpgate/ftpgate/configs"
	"github.com/ftpgate/ftpgate/nat"
)

// reload puts a new configuration in force for connections to come. Running
// sessions keep their rule. After an error the old configuration is in force.
func (g *gateway) reload(ctx context.Context, c *configs.Config) error {
	if c.Firewall.Backend != g.config.Firewall.Backend || c.Firewall.IPTables != g.config.Firewall.IPTables {
		return errors.New("firewall.backend and firewall.iptables change only with a restart")
	}
	if c.Log.Format != g.config.Log.Format {
		return errors.New("log.format changes only with a restart")
	}
	old := g.config
	if err := g.rearrange(ctx, c); err != nil {
		return errors.Join(err, g.rearrange(ctx, old))
	}
	g.pinholes.SetLifetime(c.Firewall.PinholeTimeout)
	g.server.Apply(g.settingsOf(c))
	g.config = c
	return nil
}

// rearrange changes what of the host belongs to a configuration: listeners
// first, rules that lead to them last.
func (g *gateway) rearrange(ctx context.Context, c *configs.Config) error {
	fresh, stale := g.listeners, g.listeners
	if c.ListenPort != g.listeningAt() {
		var err error
		if fresh, err = nat.Listen(ctx, c.ListenPort); err != nil {
			return err
		}
		g.hear(fresh)
	} else {
		stale = nil
	}
	g.listeners = fresh
	if routing := g.routingOf(c); !slices.Equal(routing.Interfaces, g.routing.Interfaces) {
		if err := routing.Install(); err != nil {
			return err
		}
		g.routing = routing
	}
	if err := g.pinholes.Reframe(frameOf(c, g.ipv6)); err != nil {
		return err
	}
	for _, l := range stale {
		l.Close()
	}
	return nil
}

func (g *gateway) listeningAt() uint16 {
	if len(g.listeners) == 0 {
		return 0
	}
	return g.listeners[0].Addr().(*net.TCPAddr).AddrPort().Port()
}

// verify looks after the ip rules and routes; the firewall's rules are looked
// after by their Manager.
func (g *gateway) verify() {
	repaired, err := g.routing.Verify()
	if len(repaired) > 0 {
		g.log.Warn("another program changed our ip rules or routes: repaired", zap.Strings("why", repaired))
	}
	if err != nil {
		g.log.Error("verifying the ip rules and routes", zap.String("why", err.Error()))
	}
}
