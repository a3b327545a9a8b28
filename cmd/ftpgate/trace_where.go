package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ftpgate/ftpgate/configs"
)

// defaultControlPort is that of RFC 959.
const defaultControlPort = 21

// traceWhere is what trace watches.
type traceWhere struct {
	ports      []uint16
	interfaces []net.Interface
}

// where finds out what to watch: the flags say it, else the configuration, else it is the usual.
func (t traceFlags) where(cmd *cobra.Command) (w traceWhere, err error) {
	var config *configs.Config
	if len(t.ports) == 0 || len(t.interfaces) == 0 && t.read == "" {
		if config, err = t.configuration(cmd); err != nil {
			return w, err
		}
	}
	if w.ports, err = t.controlPorts(config); err != nil || t.read != "" {
		return w, err
	}
	names := t.interfaces
	if len(names) == 0 && config != nil {
		names = slices.Concat(config.Interfaces.LAN, config.Interfaces.WAN)
	}
	w.interfaces, err = findInterfaces(names, len(t.interfaces) > 0)
	return w, err
}

// configuration reads the configuration if it is there. It must be if it was named.
func (t traceFlags) configuration(cmd *cobra.Command) (*configs.Config, error) {
	config, _, err := configs.Load(t.config)
	switch {
	case err == nil:
		return config, nil
	case cmd.Flags().Changed("config"):
		return nil, err
	case !errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: the configuration has no say in what is watched: %v\n", err)
	}
	return nil, nil
}

// controlPorts are those that clients dial, and those of the servers behind.
func (t traceFlags) controlPorts(config *configs.Config) ([]uint16, error) {
	var ports []uint16
	for _, p := range t.ports {
		if p == 0 || p > 65535 {
			return nil, usageError{fmt.Errorf("--port %d: a port is 1 to 65535", p)}
		}
		ports = append(ports, uint16(p))
	}
	if len(ports) == 0 && config != nil {
		for _, r := range config.Rules {
			ports = append(ports, r.Ports...)
			for _, s := range r.Server {
				ports = append(ports, s.Port())
			}
		}
	}
	if len(ports) == 0 {
		ports = []uint16{defaultControlPort}
	}
	slices.Sort(ports)
	return slices.Compact(ports), nil
}

// findInterfaces looks interfaces up by their names; without names they are all that are up, but for the loopback. One that
// the configuration names may be missing for now, as long as another is there.
func findInterfaces(names []string, named bool) (found []net.Interface, err error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, runError{fmt.Errorf("listing the interfaces: %w", err)}
	}
	var known []string
	for _, i := range all {
		known = append(known, i.Name)
		up := i.Flags&net.FlagUp != 0 && i.Flags&net.FlagLoopback == 0
		if slices.Contains(names, i.Name) || len(names) == 0 && up {
			found = append(found, i)
		}
	}
	for _, name := range names {
		if named && !slices.Contains(known, name) {
			return nil, usageError{fmt.Errorf("there is no interface %q, only %s", name, strings.Join(known, ", "))}
		}
	}
	if len(found) == 0 {
		return nil, runError{errors.New("no interface to watch is there and up; name one with --interface")}
	}
	return found, nil
}

// ownTime is how long this host's addresses are believed to be the same.
const ownTime = time.Second

// ownAddresses says whether an address is this host's. It is for one goroutine.
func ownAddresses() func(netip.Addr) bool {
	var own []netip.Addr
	var asked time.Time
	return func(a netip.Addr) bool {
		if now := time.Now(); now.Sub(asked) > ownTime {
			asked, own = now, hostAddresses()
		}
		return slices.Contains(own, a)
	}
}

// hostAddresses are the addresses of all interfaces; none if they cannot be had.
func hostAddresses() (own []netip.Addr) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, one := range all {
		if p, ok := one.(*net.IPNet); ok {
			if a, valid := netip.AddrFromSlice(p.IP); valid {
				own = append(own, a.Unmap())
			}
		}
	}
	return own
}
