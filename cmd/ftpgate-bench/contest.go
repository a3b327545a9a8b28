package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// scores are all values of a run, by contestant and KEY.QUANTITY, one for each round. What is measured once per run
// has one.
type scores struct {
	values map[string]map[string][]float64
	notes  []string // what a reader of the table should know of this run
}

func newScores() *scores { return &scores{values: make(map[string]map[string][]float64)} }

func (s *scores) add(contestant, key string, value float64) {
	if s.values[contestant] == nil {
		s.values[contestant] = make(map[string][]float64)
	}
	s.values[contestant][key] = append(s.values[contestant][key], value)
}

func (s *scores) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

func contestantNames() (names []string) {
	for _, e := range entries() {
		names = append(names, e.name)
	}
	return names
}

// contest builds all routers, measures, and reports.
func contest(ctx context.Context, o options) error {
	begin := time.Now()
	machine, err := describeMachine(ctx, o)
	if err != nil {
		return ended(ctx, err, nil)
	}
	all, err := gather(ctx, o)
	if err != nil {
		return err
	}
	s := newScores()
	if err := ended(ctx, compete(ctx, o, all, s), dismiss(all)); err != nil {
		return err
	}
	s.derive()
	r := newReport(o, machine, s)
	r.Took = time.Since(begin).Seconds()
	return r.publish(o, os.Stdout)
}

// gather sets all chosen contestants up.
func gather(ctx context.Context, o options) (all []*contestant, err error) {
	for _, e := range entries() {
		if !slices.Contains(o.only, e.name) {
			continue
		}
		progress("setting up %s: %s", e.name, e.about)
		c, err := newContestant(ctx, e, o)
		if err != nil {
			return nil, ended(ctx, err, dismiss(all))
		}
		all = append(all, c)
	}
	return all, nil
}

// dismiss removes them all.
func dismiss(all []*contestant) error {
	var failed []error
	for _, c := range all {
		failed = append(failed, c.close())
	}
	return errors.Join(failed...)
}

// compete measures everything: the rounds first, then what is measured once.
func compete(ctx context.Context, o options, all []*contestant, s *scores) error {
	if err := rounds(ctx, o, all, s); err != nil {
		return err
	}
	if slices.Contains(o.figures, openingGroup) {
		if err := measureOpening(ctx, all, s); err != nil {
			return err
		}
	}
	if slices.Contains(o.figures, memoryGroup) {
		return measureMemory(ctx, all, s)
	}
	return nil
}

// rounds makes each measurement with each contestant in each round: one right after the other, since they are compared,
// and beginning with another one each time, so that what drifts hits all alike.
func rounds(ctx context.Context, o options, all []*contestant, s *scores) error {
	for round := range o.rounds {
		for turn, p := range chosenProbes(o) {
			progress("round %d of %d: %s", round+1, o.rounds, p.key)
			for i := range all {
				if err := all[(round+turn+i)%len(all)].probe(ctx, p, s); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// probe makes one measurement.
func (c *contestant) probe(ctx context.Context, p probe, s *scores) error {
	result, err := c.run(ctx, p.orderFor(c))
	if err != nil {
		return c.failed(ctx, s, fmt.Errorf("%s: %w", p.key, err))
	}
	for quantity, value := range p.read(result) {
		if quantity != "cpu" || c.gateway != nil {
			s.add(c.name, p.key+"."+quantity, value)
		}
	}
	return nil
}

// failed decides what an error means. Of ftpgate, and of the lab itself, it ends the run; mod_proxy drops a client now
// and then when many come at the same time, which is noted.
func (c *contestant) failed(ctx context.Context, s *scores, err error) error {
	if c.name != modProxy || ctx.Err() != nil {
		return err
	}
	s.note("%v", err)
	return nil
}

// derive adds what one contestant's values say only beside those of another in the same round: the latency that it
// adds to plain forwarding.
func (s *scores) derive() {
	for _, m := range []mode{passive, active} {
		key := fmt.Sprintf("small.%s.1.p50", m)
		plain := s.values[forward][key]
		for name, values := range s.values {
			if name == forward || len(values[key]) != len(plain) {
				continue
			}
			for round, value := range values[key] {
				s.add(name, fmt.Sprintf("added.%s", m), value-plain[round])
			}
		}
	}
}

// progress tells what is being done, on standard error: the table is alone on standard output.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
