package main

import (
	"fmt"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/cmd/ftpgate/doctor"
	"github.com/ftpgate/ftpgate/configs"
	"github.com/ftpgate/ftpgate/firewall/iptables"
)

// needed are the capabilities without which nothing works. CAP_NET_BIND_SERVICE
// is wanted only by a status.listen below 1024, whose error says so.
var needed = []struct {
	name   string
	number int
}{
	{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN}, // rules, routes, conntrack, transparent sockets
	{"CAP_NET_RAW", unix.CAP_NET_RAW},     // iptables opens a raw socket
}

// privileged reports early and in plain words what every step would else
// report in its own.
func privileged() error {
	if err := capable(); err != nil {
		return err
	}
	if err := seesLegacy(); err != nil {
		return fmt.Errorf("looking for rules of iptables-legacy: %w; run ftpgate as root, or in the group root (SupplementaryGroups= of its unit)", err)
	}
	return nil
}

// capable tells whether this process has the capabilities that the gateway needs.
func capable() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("reading the capabilities: %w", err)
	}
	var missing []string
	for _, c := range needed {
		if data[0].Effective&(1<<c.number) == 0 {
			missing = append(missing, c.name)
		}
	}
	if missing != nil {
		return fmt.Errorf("not permitted, for want of %s: run ftpgate as root, or as a user to whom its unit gives them (AmbientCapabilities=)",
			strings.Join(missing, ", "))
	}
	return nil
}

// seesLegacy tells whether this thread may know which tables iptables-legacy has: who may not would take a host that filters with it
// for one that does not.
func seesLegacy() error {
	for _, is4 := range []bool{true, false} {
		if err := iptables.Hidden(is4); err != nil {
			return err
		}
	}
	return nil
}

// hostWarnings are what keeps data from passing although every rule is good: the
// checks of doctor that cost next to nothing, made of the host as it is now.
func hostWarnings(c *configs.Config, ipv6 bool) []doctor.Finding {
	return doctor.AtStart(c, frameOf(c, ipv6))
}

// warnOfHost logs them.
func warnOfHost(log *zap.Logger, c *configs.Config, ipv6 bool) {
	for _, f := range hostWarnings(c, ipv6) {
		log.Warn("the host", zap.String("finding", f.ID), zap.String("what", f.What), zap.String("why", f.Why), zap.String("cure", f.Cure))
	}
}
