package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
)

const (
	// startTime bounds the start of each program in the lab.
	startTime = 10 * time.Second
	// goneTime bounds the wait for the removal of spent rules, which the daemon gathers for about a second.
	goneTime = 5 * time.Second
)

// stage is the lab with everything that runs in it.
type stage struct {
	options
	out     *printer
	lab     *lab.Lab
	dir     string            // of all files of the demo
	roots   map[string]string // what the FTP server on each host serves
	gateway *gateway
	before  string // the router's state without the daemon
}

// setUp builds the lab and starts the servers; the daemon is not there yet. On an error nothing is left behind.
func setUp(ctx context.Context, o options, out *printer) (*stage, error) {
	dir, err := os.MkdirTemp("", "ftpgate-demo-")
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	s := &stage{options: o, out: out, dir: dir, roots: make(map[string]string)}
	if s.lab, err = lab.New(ctx, lab.Options{Variant: o.variant}); err != nil {
		return nil, errors.Join(err, s.tearDown())
	}
	for _, host := range []string{lab.Outside, lab.Server} {
		if err := s.serve(ctx, host); err != nil {
			return nil, errors.Join(err, s.tearDown())
		}
	}
	return s, nil
}

// tearDown removes everything.
func (s *stage) tearDown() error {
	var failed []error
	if s.lab != nil {
		failed = append(failed, s.lab.Close())
	}
	if s.gateway != nil {
		failed = append(failed, s.gateway.log.close())
	}
	return errors.Join(append(failed, os.RemoveAll(s.dir))...)
}

// serve starts an FTP server on a host.
func (s *stage) serve(ctx context.Context, host string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	root := filepath.Join(s.dir, host)
	if err := os.Mkdir(root, 0o700); err != nil {
		return fmt.Errorf("making the directory of the FTP server: %w", err)
	}
	s.roots[host] = root
	process, err := s.lab.Host(host).Start(self, serveCommand, root)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return process.WaitOutput(ctx, serving)
}

// startGateway notes the router's state and starts the daemon on it.
func (s *stage) startGateway(ctx context.Context) error {
	var err error
	if s.before, err = s.lab.State(ctx); err != nil {
		return err
	}
	s.gateway, err = startGateway(ctx, s.lab.Host(lab.Router), s.options, s.dir)
	return err
}

// stopGateway ends the daemon and compares the router with what it was.
func (s *stage) stopGateway(ctx context.Context) error {
	during, err := s.lab.State(ctx)
	if err != nil {
		return err
	}
	if during == s.before {
		return errors.New("the daemon had changed nothing on the router, so its stop shows nothing")
	}
	if err := s.gateway.process.Stop(); err != nil {
		return err
	}
	after, err := s.lab.State(ctx)
	if err != nil {
		return err
	}
	if after != s.before {
		return fmt.Errorf("the router is not as it was before the daemon:\n%s", difference(s.before, after))
	}
	return nil
}
