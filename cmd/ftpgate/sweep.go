package main

import (
	"fmt"

	"github.com/ftpgate/ftpgate/firewall/iptables"
	"github.com/ftpgate/ftpgate/firewall/nftables"
	"github.com/ftpgate/ftpgate/nat"
)

// sweep removes what a run that was killed has left on the host, whatever its configuration was, in the order in which a
// run stops. While another one runs it touches nothing.
func sweep() error {
	if err := privileged(); err != nil {
		return runError{err}
	}
	var g gateway
	if err := g.claim(nil); err != nil {
		return runError{err}
	}
	settings := nat.Settings{Dir: notes}
	for _, s := range []step{
		{"restoring the settings of conntrack", settings.Recover},
		{"removing the ip rules and routes", new(nat.Routing).Remove},
		{"removing the rules of nftables", nftables.Clean},
		{"removing the rules of iptables", iptables.Clean},
		{"restoring the kernel's forwarding", (&nat.Forwarding{Settings: settings}).Release},
	} {
		g.later(s.what, s.do)
	}
	if err := g.takeBack(); err != nil {
		return runError{fmt.Errorf("not all of what a former run has left could be removed: %w", err)}
	}
	return nil
}
