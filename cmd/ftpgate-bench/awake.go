package main

import (
	"context"
	"fmt"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// awakeCommand makes this program keep the processors awake.
const awakeCommand = "stay-awake"

// keepAwake starts it. A virtual machine gives a processor back that has nothing to do, and gets it again only tens of
// microseconds later: with one session, which waits all the time, that would be most of what is measured, and more or
// less of it from one minute to the next. The caller stops it.
func keepAwake(self string) (stop func(), err error) {
	cmd := exec.Command(self, awakeCommand)
	// Out of our process group, as everything else, and gone with us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("keeping the processors awake: %w", err)
	}
	return func() {
		cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}, nil
}

// stayAwake is busy on each processor, for as long as nobody else has anything to do there, until SIGTERM.
func stayAwake() error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	failed := make(chan error)
	for cpu := range runtime.NumCPU() {
		go func() {
			runtime.LockOSThread()
			if err := idleOn(cpu); err != nil {
				failed <- err
				return
			}
			for ctx.Err() == nil {
			}
		}()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// idleOn binds this thread to a processor and lets every other thread go before it (sched(7), SCHED_IDLE).
func idleOn(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("binding a thread to processor %d: %w", cpu, err)
	}
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		return fmt.Errorf("giving a thread the lowest priority: %w", err)
	}
	return nil
}
