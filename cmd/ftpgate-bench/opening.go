package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
)

// openingCrowds are the numbers of unused pinholes among which one more is opened.
var openingCrowds = []int{0, 1000, 5000}

const (
	// crowdPatience bounds the opening of all those pinholes. What takes longer is reported as that.
	crowdPatience = 90 * time.Second
	// openingTime is how long openings are measured, for each number of pinholes.
	openingTime = 3 * time.Second
	// releaseTime is what the daemon is given to close the pinholes of a crowd whose clients are gone.
	releaseTime = 3 * time.Second
)

// What thousands of unused pinholes need in the configuration: ports for them, beside those that the router takes for its
// own connections, and a life that is longer than the measurement.
const (
	openingPorts   = "data_ports: 20000-39999\n"
	openingTimeout = ", pinhole_timeout: 5m"
	localPorts     = "net.ipv4.ip_local_port_range"
	localBeside    = "40000 65535"
	localUsual     = "32768 60999"
)

// openingBackends are the contestants whose pinholes are counted.
var openingBackends = map[string]string{ftpgateNFT: "nftables", ftpgateIPT: "iptables"}

// measureOpening takes the time from PASV to 227 with other pinholes open. Who has no pinholes shows what the server and
// the way to it take of that.
func measureOpening(ctx context.Context, all []*contestant, s *scores) error {
	for _, c := range all {
		measure := func() error { return c.open(ctx, s, 0) }
		if backend, hasPinholes := openingBackends[c.name]; hasPinholes {
			measure = func() error { return c.openAmongAll(ctx, s, backend) }
		}
		if err := measure(); err != nil {
			return err
		}
	}
	return nil
}

// openAmongAll gives the daemon another configuration for the time of the measurement.
func (c *contestant) openAmongAll(ctx context.Context, s *scores, backend string) error {
	router := c.lab.Host(lab.Router)
	if err := router.SetSysctl(localPorts, localBeside); err != nil {
		return err
	}
	err := c.restart(ctx, func(ctx context.Context, c *contestant) error {
		return c.runFTPGate(ctx, fmt.Sprintf(gateConfig, openingPorts, backend, openingTimeout, mostSessions, mostSessions))
	})
	if err != nil {
		return err
	}
	for _, pinholes := range openingCrowds {
		if err := errors.Join(c.open(ctx, s, pinholes), sleep(ctx, releaseTime)); err != nil {
			return err
		}
	}
	return errors.Join(c.restart(ctx, c.prepare), router.SetSysctl(localPorts, localUsual))
}

// open measures among so many pinholes. That they could not be opened in time is a result, too.
func (c *contestant) open(ctx context.Context, s *scores, pinholes int) error {
	progress("opening through %s among %s", c.name, counted(pinholes, "pinhole"))
	if pinholes > 0 {
		begin := time.Now()
		clients, err := c.hold(ctx, pinholes, true, crowdPatience)
		if err != nil && ctx.Err() == nil {
			s.note("%s did not open %s within %v: %v", c.name, counted(pinholes, "pinhole"), crowdPatience, err)
			return nil
		}
		if err != nil {
			return err
		}
		defer clients.Kill()
		s.note("%s opened %s, with their sessions, in %.1f s", c.name, counted(pinholes, "pinhole"), time.Since(begin).Seconds())
	}
	result, err := c.run(ctx, order{Kind: files, Mode: passive, Sessions: 1, Duration: openingTime})
	if err != nil {
		return c.failed(ctx, s, err)
	}
	key := fmt.Sprintf("opening.%d.", pinholes)
	s.add(c.name, key+"p50", result.OpenP50*1e3)
	s.add(c.name, key+"p99", result.OpenP99*1e3)
	return nil
}
