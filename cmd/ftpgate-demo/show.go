package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// showTime bounds everything but the time that --hold adds.
const showTime = 2 * time.Minute

// errInterrupted is the end by a signal before the flows were done.
var errInterrupted = errors.New("interrupted")

// show is the whole demo. Whatever it returns, nothing is left behind.
func show(ctx context.Context, o options, out *printer) (err error) {
	begin := time.Now()
	bounded, cancel := context.WithTimeout(ctx, showTime)
	defer cancel()
	s, err := setUp(bounded, o, out)
	if err != nil {
		return interruptedOr(ctx, err)
	}
	defer func() {
		if failed := s.tearDown(); failed != nil {
			err = errors.Join(err, failed)
		}
	}()
	s.intro()
	if err := s.startGateway(bounded); err != nil {
		return interruptedOr(ctx, err)
	}
	if err := s.flows(bounded, begin); err != nil {
		if ctx.Err() == nil {
			fmt.Fprintf(os.Stderr, "\nthe daemon's log:\n%s", s.gateway.process.Output())
		}
		return interruptedOr(ctx, err)
	}
	if o.hold {
		s.hold(ctx)
	}
	return s.finish(out)
}

// interruptedOr tells the user's wish from a failure; the errors that follow from it are of no interest.
func interruptedOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

// flows goes all ways, also after a failure, and returns the failures.
func (s *stage) flows(ctx context.Context, begin time.Time) error {
	chosen, err := s.gateway.log.await(ctx, "its backend", func(e entry) bool { return e.Backend != "" })
	if err != nil {
		return err
	}
	s.gateway.backend = chosen.Backend
	s.out.heading("The daemon runs, its pinholes are in %s", chosen.Backend)
	ctx, cancel := s.whileItRuns(ctx)
	defer cancel()
	var all []flow
	var failed []error
	for _, w := range ways {
		s.out.way(w, s.lab.Host(w.client), s.lab.Host(w.server))
		for _, f := range s.walk(ctx, w) {
			all = append(all, f)
			if f.err != nil && !errors.Is(context.Cause(ctx), context.Canceled) {
				failed = append(failed, fmt.Errorf("%s, %s: %w", w.name, f.mode, f.err))
				s.out.line("\n  %s", s.out.paint(red, fmt.Sprintf("%s  FAILED", f.mode)))
			}
		}
		if ctx.Err() != nil {
			return errors.Join(append(failed, context.Cause(ctx))...)
		}
	}
	if err := s.awaitShut(ctx); err != nil {
		failed = append(failed, err)
	}
	s.out.summary(all, time.Since(begin))
	return errors.Join(failed...)
}

// errDaemonEnded is an end of the daemon that nobody has asked for.
var errDaemonEnded = errors.New("the daemon has ended")

// whileItRuns is a context that ends with the daemon.
func (s *stage) whileItRuns(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-s.gateway.process.Done():
			cancel(errDaemonEnded)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// finish stops the daemon, also after a signal, and shows that it leaves no trace.
func (s *stage) finish(out *printer) error {
	ctx, cancel := context.WithTimeout(context.Background(), showTime)
	defer cancel()
	if err := s.stopGateway(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "\nthe daemon's log:\n%s", s.gateway.process.Output())
		return err
	}
	out.paragraph("The daemon is stopped. The router's iptables and nftables rules, ip rules, routes and settings " +
		"are exactly as before.")
	return nil
}
