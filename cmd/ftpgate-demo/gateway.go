package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ftpgate/ftpgate/deploy/lab"
)

// gateway is the real daemon, as it runs on the router.
type gateway struct {
	process *lab.Process
	log     *logbook
	config  string // its file
	backend string // what holds the pinholes
}

// startGateway writes the configuration, starts the daemon and waits until it is ready.
func startGateway(ctx context.Context, router *lab.Host, o options, dir string) (*gateway, error) {
	g := &gateway{config: filepath.Join(dir, "ftpgate.yaml")}
	if err := os.WriteFile(g.config, fmt.Appendf(nil, config, o.backend), 0o600); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	var err error
	if g.log, err = newLogbook(filepath.Join(dir, "ftpgate.log")); err != nil {
		return nil, err
	}
	g.process, err = router.StartWith(lab.StartOptions{Output: g.log}, o.ftpgate, "run", "--config", g.config)
	if err != nil {
		g.log.close()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if err := g.process.WaitOutput(ctx, `"ready"`); err != nil {
		g.log.close()
		return nil, err
	}
	return g, nil
}
