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

// warnOfHost says what keeps data from passing although every rule is good.
func warnOfHost(log *zap.Logger, c *configs.Config, ipv6 bool) {
	for _, name := range slices.Concat(c.Interfaces.LAN, c.Interfaces.WAN) {
		if _, err := net.InterfaceByName(name); err != nil {
			log.Warn("an interface of the configuration is not there",
				zap.String("interface", name), zap.String("why", "it is served as soon as it appears; if it never does, its name is wrong"))
		}
	}
	settings := []string{"net.ipv4.ip_forward"}
	if ipv6 {
		settings = append(settings, "net.ipv6.conf.all.forwarding")
	}
	for _, setting := range settings {
		value, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(setting, ".", "/"))
		if err == nil && strings.TrimSpace(string(value)) == "0" {
			log.Warn("the host does not forward", zap.String("setting", setting),
				zap.String("why", "no data connection of this family can pass; sysctl -w "+setting+"=1"))
		}
	}
}
