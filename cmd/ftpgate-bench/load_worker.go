package main

import (
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// smallFile is the file of the small transfers: 1 KiB.
	smallFile = "1k"
	// warmUp is how many files, or NOOPs, each session does before the clock starts.
	warmUp = 5
	// samplesAhead is the room for samples that each session begins with, so that none is made room for on the way.
	samplesAhead = 1 << 15
)

// worker is one session with what it measured.
type worker struct {
	*client
	order  order
	totals *atomic.Int64 // of all workers, of what they count
	done   []time.Duration
	opened []time.Duration
	count  int
	bytes  int64
	data   time.Duration // of bulk: how long its data flowed
}

// newWorker logs in and warms up.
func (o order) newWorker() (*worker, error) {
	c, err := dial(o.Server)
	if err != nil {
		return nil, err
	}
	w := &worker{client: c, order: o}
	if err := c.login(); err != nil {
		return nil, err
	}
	switch {
	case o.Kind == hold && o.Pinholes:
		_, err = c.command("227", "PASV", "")
	case o.Kind == hold:
	case o.Kind == noop:
		err = w.repeat(warmUp, w.noop)
	case o.Kind == files:
		err = w.repeat(warmUp, w.fetchSmall)
	case o.Kind == bulk:
		_, err = c.retrieve(o.Mode, smallFile)
	}
	*w = worker{client: c, order: o}
	if o.Kind == files || o.Kind == noop {
		w.done, w.opened = make([]time.Duration, 0, samplesAhead), make([]time.Duration, 0, samplesAhead)
	}
	return w, err
}

// work is one worker's part of the measurement.
func (w *worker) work(begin time.Time) error {
	step := map[kind]func() error{files: w.fetchSmall, noop: w.noop, logins: w.visit}[w.order.Kind]
	switch {
	case w.order.Kind == bulk:
		t, err := w.retrieve(w.order.Mode, w.order.Duration.String())
		w.count, w.bytes, w.data = 1, t.bytes, t.data
		return err
	case step == nil:
		return fmt.Errorf("%q is no load", w.order.Kind)
	case w.order.Files != 0:
		return w.repeat(w.order.Files, step)
	}
	for time.Since(begin) < w.order.Duration {
		if err := w.step(step); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) repeat(times int, step func() error) error {
	for range times {
		if err := w.step(step); err != nil {
			return err
		}
	}
	return nil
}

// step does one thing that counts.
func (w *worker) step(do func() error) error {
	if err := do(); err != nil {
		return fmt.Errorf("number %d of this session: %w", w.count+1, err)
	}
	w.count++
	if w.totals != nil {
		w.totals.Add(1)
	}
	return nil
}

// fetchSmall fetches a small file.
func (w *worker) fetchSmall() error {
	m := w.order.Mode
	if m == byTurns {
		m = []mode{passive, active}[w.count%2]
	}
	t, err := w.retrieve(m, smallFile)
	w.bytes += t.bytes
	w.done, w.opened = append(w.done, t.done), append(w.opened, t.opened)
	return err
}

// noop is one round trip.
func (w *worker) noop() error {
	begin := time.Now()
	_, err := w.command("200", "NOOP", "")
	w.done = append(w.done, time.Since(begin))
	return err
}

// visit is a session that does nothing.
func (w *worker) visit() error {
	c, err := dial(w.order.Server)
	if err != nil {
		return err
	}
	if err := c.login(); err != nil {
		c.control.Close()
		return err
	}
	return c.quit()
}
