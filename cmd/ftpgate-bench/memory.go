package main

import (
	"context"
	"fmt"
	"time"
)

const (
	// settleTime is how long idle sessions are left alone before memory is looked at again.
	settleTime = 10 * time.Second
	// idleSessions fit into the 20,000 files that a process may have here: the gateway holds two for each.
	idleSessions = 9500
	// idleProcesses is how many sessions a gateway is given that has a process for each.
	idleProcesses = 200
	// memoryPatience bounds the login of all idle sessions.
	memoryPatience = 3 * time.Minute
)

// measureMemory fills a fresh ftpgate, and mod_proxy, with idle sessions. Both backends of ftpgate have the same
// sessions, so that one of them is enough.
func measureMemory(ctx context.Context, all []*contestant, s *scores) error {
	byName := make(map[string]*contestant)
	for _, c := range all {
		byName[c.name] = c
	}
	c := byName[ftpgateNFT]
	if c == nil {
		c = byName[ftpgateIPT]
	}
	if c != nil {
		if err := c.restart(ctx, c.prepare); err != nil {
			return err
		}
		if err := c.fill(ctx, s, idleSessions, residentSet); err != nil {
			return err
		}
	}
	if c := byName[modProxy]; c != nil {
		return c.fill(ctx, s, idleProcesses, proportionalSet)
	}
	return nil
}

// fill logs sessions in and reads the gateway's memory, twice: all of it, divided by the sessions.
func (c *contestant) fill(ctx context.Context, s *scores, sessions int, memory func(pid int) (int64, error)) error {
	progress("memory of %s with %s", c.name, counted(sessions, "idle session"))
	begin := time.Now()
	clients, err := c.hold(ctx, sessions, false, memoryPatience)
	if err != nil {
		return c.failed(ctx, s, err)
	}
	s.note("%s: %s logged in within %.1f s", c.name, counted(sessions, "session"), time.Since(begin).Seconds())
	for _, key := range []string{"memory.login", "memory.idle"} {
		if key == "memory.idle" {
			if err := sleep(ctx, settleTime); err != nil {
				return err
			}
		}
		bytes, err := memory(c.pid())
		if err != nil {
			return fmt.Errorf("%s: reading its memory: %w", c.name, err)
		}
		s.add(c.name, key, float64(bytes)/1024/float64(sessions))
		s.note("%s: %s is %.1f MiB in all", c.name, key, float64(bytes)/(1<<20))
	}
	if c.name == ftpgateNFT || c.name == ftpgateIPT {
		if err := c.measureEndpoint(ctx, s); err != nil {
			return err
		}
	}
	return clients.Stop()
}

// sleep waits, unless ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
