package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// loadCommand makes this program a client of the load: the benchmark runs itself so on the LAN.
const loadCommand = "load"

// serveCommand makes it the server.
const serveCommand = "serve"

// What the server prints when it listens, and the client when it holds its sessions.
const (
	serving = "serving"
	holding = "holding"
)

// kind says what the clients of an order do.
type kind string

// The kinds of load.
const (
	files  kind = "files"  // fetch small files, one after the other
	bulk   kind = "bulk"   // fetch one large file each
	noop   kind = "noop"   // NOOP, again and again
	logins kind = "logins" // connect, log in, QUIT, again and again
	hold   kind = "hold"   // log in and stay idle, with an unused pinhole each if the order says so
)

// dialers is how many sessions are opened at the same time.
const dialers = 16

// order is what a client process is to do. It is given as JSON.
type order struct {
	Kind     kind           `json:"kind"`
	Server   netip.AddrPort `json:"server"`
	Sessions int            `json:"sessions"`
	Mode     mode           `json:"mode,omitempty"`
	Duration time.Duration  `json:"duration,omitempty"` // of the measurement; zero: until all files are there
	Files    int            `json:"files,omitempty"`    // each session fetches; zero: as many as it can
	Watch    int            `json:"watch,omitempty"`    // process whose CPU time is measured; zero: none
	Pinholes bool           `json:"pinholes,omitempty"` // of hold: each session sends PASV and does not connect
	Report   time.Duration  `json:"report,omitempty"`   // how often to print the count meanwhile; zero: never
}

// outcome is what a client process measured. Times are in seconds.
type outcome struct {
	Count   int     `json:"count"` // of files, NOOPs, logins or sessions
	Bytes   int64   `json:"bytes,omitempty"`
	Seconds float64 `json:"seconds"` // that the load took
	CPU     float64 `json:"cpu,omitempty"`
	P50     float64 `json:"p50,omitempty"` // per file or NOOP
	P99     float64 `json:"p99,omitempty"`
	OpenP50 float64 `json:"open_p50,omitempty"` // per PASV or PORT and its reply
	OpenP99 float64 `json:"open_p99,omitempty"`
}

// load carries out an order that is written in JSON and prints the outcome in JSON.
func load(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return fmt.Errorf("reading the order: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	result, err := o.run(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// run does what the order says.
func (o order) run(ctx context.Context) (outcome, error) {
	if o.Kind == logins {
		return o.measure(make([]*worker, o.Sessions))
	}
	workers := make([]*worker, o.Sessions)
	err := inParallel(len(workers), dialers, func(i int) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w, err := o.newWorker()
		workers[i] = w
		return err
	})
	if err != nil {
		return outcome{}, err
	}
	if o.Kind == hold {
		fmt.Println(holding)
		<-ctx.Done()
		return outcome{Count: len(workers)}, nil
	}
	result, err := o.measure(workers)
	if err != nil {
		return result, err
	}
	return result, inParallel(len(workers), len(workers), func(i int) error { return workers[i].quit() })
}

// measure lets all workers work at the same time, between two looks at the clocks.
func (o order) measure(workers []*worker) (outcome, error) {
	var total atomic.Int64
	for i, w := range workers {
		if w == nil {
			workers[i] = &worker{order: o}
		}
		workers[i].totals = &total
	}
	before, err := o.cpu()
	if err != nil {
		return outcome{}, err
	}
	begin := time.Now()
	defer o.report(&total, begin)()
	if err := inParallel(len(workers), len(workers), func(i int) error { return workers[i].work(begin) }); err != nil {
		return outcome{}, err
	}
	result := outcome{Seconds: time.Since(begin).Seconds()}
	after, err := o.cpu()
	if err != nil {
		return outcome{}, err
	}
	result.CPU = (after - before).Seconds()
	result.sum(workers)
	return result, nil
}

// cpu is the CPU time of the watched process.
func (o order) cpu() (time.Duration, error) {
	if o.Watch == 0 {
		return 0, nil
	}
	return treeCPU(o.Watch)
}

// report prints the count from time to time until it is told to stop.
func (o order) report(total *atomic.Int64, begin time.Time) (stop func()) {
	if o.Report == 0 {
		return func() {}
	}
	ticker, end := time.NewTicker(o.Report), make(chan struct{})
	var printed sync.WaitGroup
	printed.Go(func() {
		for {
			select {
			case <-ticker.C:
				_ = json.NewEncoder(os.Stdout).Encode(outcome{Count: int(total.Load()), Seconds: time.Since(begin).Seconds()})
			case <-end:
				return
			}
		}
	})
	return func() {
		ticker.Stop()
		close(end)
		printed.Wait()
	}
}

// sum adds up what the workers measured.
func (r *outcome) sum(workers []*worker) {
	var done, opened []time.Duration
	var longest time.Duration
	for _, w := range workers {
		r.Count += w.count
		r.Bytes += w.bytes
		done, opened = append(done, w.done...), append(opened, w.opened...)
		longest = max(longest, w.data)
	}
	if longest != 0 {
		r.Seconds = longest.Seconds()
	}
	r.P50, r.P99 = percentile(done, 50).Seconds(), percentile(done, 99).Seconds()
	r.OpenP50, r.OpenP99 = percentile(opened, 50).Seconds(), percentile(opened, 99).Seconds()
}

// inParallel calls do for 0 to n-1, so many at a time. After an error it begins no further one, and returns one of them:
// what is wrong with one session is usually wrong with all.
func inParallel(n, atATime int, do func(i int) error) error {
	var next atomic.Int64
	var failed atomic.Bool
	errs := make([]error, min(n, atATime))
	var wg sync.WaitGroup
	for worker := range errs {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !failed.Load(); i = int(next.Add(1)) - 1 {
				if errs[worker] = do(i); errs[worker] != nil {
					failed.Store(true)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
