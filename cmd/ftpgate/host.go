package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/configs"
)

// privileged reports early and in plain words what every step would else
// report in its own.
func privileged() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("reading the capabilities: %w", err)
	}
	if data[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return errors.New("CAP_NET_ADMIN is missing; run ftpgate as root")
	}
	return nil
}

// hostWarning is what keeps data from passing although every rule is good.
type hostWarning struct {
	what string
	why  string // with its cure
}

func (w hostWarning) String() string { return w.what + ": " + w.why }

// hostWarnings looks at the host as it is now.
func hostWarnings(c *configs.Config, ipv6 bool) []hostWarning {
	var all []hostWarning
	for _, name := range slices.Concat(c.Interfaces.LAN, c.Interfaces.WAN) {
		if _, err := net.InterfaceByName(name); err != nil {
			all = append(all, hostWarning{"an interface of the configuration is not there",
				name + " is served as soon as it appears; if it never does, its name is wrong"})
		}
	}
	settings := []string{"net.ipv4.ip_forward"}
	if ipv6 {
		settings = append(settings, "net.ipv6.conf.all.forwarding")
	}
	for _, setting := range settings {
		value, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(setting, ".", "/"))
		if err == nil && strings.TrimSpace(string(value)) == "0" {
			all = append(all, hostWarning{"the host does not forward",
				setting + " is 0, no data connection of this family can pass; sysctl -w " + setting + "=1"})
		}
	}
	return all
}

// warnOfHost logs them.
func warnOfHost(log *zap.Logger, c *configs.Config, ipv6 bool) {
	for _, w := range hostWarnings(c, ipv6) {
		log.Warn(w.what, zap.String("why", w.why))
	}
}
