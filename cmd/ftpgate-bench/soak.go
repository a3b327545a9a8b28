package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
)

// soakCommand watches ftpgate through many small files.
const soakCommand = "soak"

const (
	// tidyTime is how long after the last session the daemon may take to have put everything away: it gathers what is
	// to be closed for about a second.
	tidyTime = 10 * time.Second
	// soakTimeWait is how many seconds the router remembers a connection that has ended. With the usual 120 the tables
	// of many kernels would be full before the end.
	soakTimeWait = "20"
	// growthAllowed is by how much memory may have grown over the second half, in bytes, beside growthShare of it, since
	// the garbage collector does not run at the same moments, and growthTracked for each connection that conntrack has
	// more than before: the daemon remembers a data connection until conntrack forgets it.
	growthAllowed = 2 << 20
	growthShare   = 0.05
	growthTracked = 2 << 10
	// leastSamples is of how many looks at the memory its growth is told.
	leastSamples = 6
)

// soakOptions are the wishes of the soak's command line.
type soakOptions struct {
	options
	backend  string
	sessions int
	files    int
	every    time.Duration
	timeout  time.Duration
}

// soak runs the subcommand.
func soak(ctx context.Context, args []string) error {
	o, err := parseSoak(args)
	if err != nil {
		return err
	}
	return o.run(ctx, os.Stdout)
}

func parseSoak(args []string) (soakOptions, error) {
	var o soakOptions
	flags := flag.NewFlagSet("ftpgate-bench soak", flag.ContinueOnError)
	flags.StringVar(&o.ftpgate, "ftpgate", besideSelf("ftpgate"), "the daemon's `file`")
	flags.StringVar(&o.backend, "backend", "nftables", "firewall.backend: nftables or iptables")
	flags.IntVar(&o.sessions, "sessions", 24, "how many sessions there are at the same time")
	flags.IntVar(&o.files, "files", 20000, "how many small files each of them fetches, passive and active by turns")
	flags.DurationVar(&o.every, "every", 5*time.Second, "how often the daemon is looked at")
	flags.DurationVar(&o.timeout, "timeout", time.Hour, "how long it may take")
	if err := flags.Parse(args); err != nil {
		return o, usageError{err}
	}
	if flags.NArg() > 0 || o.sessions < 1 || o.files < 1 || o.every <= 0 || pinholeRules[o.backend] == nil {
		return o, usageError{errors.New("--sessions, --files and --every are above zero, --backend is nftables or iptables, " +
			"and there is nothing else")}
	}
	return o, o.findPrograms()
}

// run builds the lab, lets the load run, watches, and judges.
func (o soakOptions) run(ctx context.Context, out io.Writer) (err error) {
	entry := entries()[slices.Index(contestantNames(), ftpgateNFT)]
	entry.name, entry.prepare = "ftpgate, "+o.backend, startFTPGate(o.backend)
	c, err := newContestant(ctx, entry, o.options)
	if err != nil {
		return ended(ctx, err, nil)
	}
	defer func() { err = ended(ctx, err, c.close()) }()
	if err := c.lab.Host(lab.Router).SetSysctl("net.netfilter.nf_conntrack_tcp_timeout_time_wait", soakTimeWait); err != nil {
		return err
	}
	w := &watch{contestant: c, backend: o.backend, out: out, begin: time.Now()}
	if w.before, err = w.look(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %d sessions, %d files each\n%s\n", entry.name, o.sessions, o.files, sampleHeading)
	w.print(w.before)
	if err := w.through(ctx, o); err != nil {
		return err
	}
	return w.judge(ctx, o.sessions*o.files)
}

// through lets the load run to its end and looks at the daemon meanwhile.
func (w *watch) through(ctx context.Context, o soakOptions) error {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	p, err := w.contestant.begin(order{Kind: files, Mode: byTurns, Sessions: o.sessions, Files: o.files, Report: time.Second})
	if err != nil {
		return err
	}
	defer p.Kill()
	ticker := time.NewTicker(o.every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s, err := w.look(ctx)
			if err != nil {
				return err
			}
			if printed, err := lastOutcome(p.Output()); err == nil { // nothing is printed in the first second
				s.files = printed.Count
			}
			w.samples = append(w.samples, s)
			w.print(s)
		case <-p.Done():
			if err := p.Err(); err != nil {
				return fmt.Errorf("a session failed: %w\n%s", err, p.Output())
			}
			w.result, err = lastOutcome(p.Output())
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// judge looks at what is left, and at how the memory went.
func (w *watch) judge(ctx context.Context, files int) error {
	after, err := w.tidied(ctx)
	if err != nil {
		return err
	}
	w.print(after)
	fmt.Fprintf(w.out, "%d files in %.1f s, %.0f/s, p50 %.2f ms, p99 %.2f ms, no failure\n",
		w.result.Count, w.result.Seconds, float64(w.result.Count)/w.result.Seconds, w.result.P50*1e3, w.result.P99*1e3)
	var wrong []error
	if w.result.Count != files {
		wrong = append(wrong, fmt.Errorf("%d files were fetched instead of %d", w.result.Count, files))
	}
	if after.open > w.before.open {
		wrong = append(wrong, fmt.Errorf("%d files are open instead of %d: ports have not been given back", after.open, w.before.open))
	}
	if after.pinholes != 0 {
		wrong = append(wrong, fmt.Errorf("%d rules or elements of pinholes are left", after.pinholes))
	}
	return errors.Join(append(wrong, w.memory())...)
}

// tidied waits until the daemon has put everything away, and looks a last time.
func (w *watch) tidied(ctx context.Context) (sample, error) {
	for begin := time.Now(); ; {
		s, err := w.look(ctx)
		if err != nil {
			return s, err
		}
		s.files = w.result.Count
		if s.open <= w.before.open && s.pinholes == 0 || time.Since(begin) > tidyTime {
			return s, nil
		}
		if err := sleep(ctx, tidyTime/50); err != nil {
			return s, err
		}
	}
}

// memory compares how the daemon grew in both halves.
func (w *watch) memory() error {
	if len(w.samples) < leastSamples {
		fmt.Fprintf(w.out, "memory: %d looks are too few to tell whether it grows\n", len(w.samples))
		return nil
	}
	half := len(w.samples) / 2
	first, second := growth(w.samples[:half]), growth(w.samples[half:])
	fmt.Fprintf(w.out, "memory: %+.1f KiB/s in the first half, %+.1f KiB/s in the second\n", first/1024, second/1024)
	middle, last := w.samples[half], w.samples[len(w.samples)-1]
	grown := second * (last.at - middle.at).Seconds()
	tracked := max(0, last.conntrack-middle.conntrack)
	if allowed := growthAllowed + growthShare*float64(last.memory) + growthTracked*float64(tracked); grown > allowed {
		return fmt.Errorf("memory grows: by %.1f MiB in the second half, %.1f are allowed", grown/(1<<20), allowed/(1<<20))
	}
	return nil
}
