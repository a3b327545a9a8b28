package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// stopGrace is how long Stop waits after SIGTERM before it kills.
	stopGrace = 30 * time.Second
	// outputDelay is how long a process that has ended may leave its output to children that hold it open.
	outputDelay = time.Second
)

var errClosed = errors.New("the lab is closed")

// StartOptions are the less usual wishes for a background process.
type StartOptions struct {
	Dir    string    // working directory; empty: the caller's
	Env    []string  // added to the caller's environment
	Output io.Writer // receives what the process prints, beside what Output remembers; nil: nobody
}

// Process is a program that runs in a host in the background. It is alone in its process group with what it starts.
type Process struct {
	name   string
	lab    *Lab
	cmd    *exec.Cmd
	output *tail
	log    *os.File // nil unless Options.ProcessLog asks for it
	done   chan struct{}
	err    error // valid after done
}

// Start runs a program in the host in the background, until it ends, is stopped, or the lab is closed.
func (h *Host) Start(name string, args ...string) (*Process, error) {
	return h.StartWith(StartOptions{}, name, args...)
}

// StartWith is Start with wishes.
func (h *Host) StartWith(o StartOptions, name string, args ...string) (*Process, error) {
	cmd := h.Command(context.Background(), name, args...)
	cmd.Dir = o.Dir
	cmd.Env = append(os.Environ(), o.Env...)
	cmd.WaitDelay = outputDelay
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p := &Process{name: h.Name + ": " + name, lab: h.lab, cmd: cmd, output: newTail(), done: make(chan struct{})}
	writers := []io.Writer{p.output}
	if o.Output != nil {
		writers = append(writers, o.Output)
	}
	if dir := h.lab.options.ProcessLog; dir != "" {
		log, err := os.CreateTemp(dir, h.Name+"-"+filepath.Base(name)+"-*.log")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		p.log, writers = log, append(writers, log)
	}
	cmd.Stdout = io.MultiWriter(writers...)
	cmd.Stderr = cmd.Stdout
	if err := p.start(); err != nil {
		if p.log != nil {
			p.log.Close()
		}
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	go p.wait()
	return p, nil
}

// start starts the process under the eyes of the lab.
func (p *Process) start() error {
	p.lab.mu.Lock()
	defer p.lab.mu.Unlock()
	if p.lab.closed {
		return errClosed
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.lab.warden.started(p.PID())
	p.lab.processes = append(p.lab.processes, p)
	return nil
}

// wait collects the process when it ends.
func (p *Process) wait() {
	p.err = p.cmd.Wait()
	p.lab.warden.ended(p.PID())
	if p.log != nil {
		p.log.Close()
	}
	close(p.done)
}

// PID is the process id of the program itself.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Err says how the process ended, as exec.Cmd.Wait does; nil also while it runs.
func (p *Process) Err() error {
	if p.ended() {
		return p.err
	}
	return nil
}

// Output returns what the process printed on both outputs; of more than maxTail bytes the last.
func (p *Process) Output() string { return p.output.String() }

// WaitOutput waits until the output holds text. It fails when ctx ends, or the process ends without having printed it.
func (p *Process) WaitOutput(ctx context.Context, text string) error {
	return p.output.await(ctx, p.done, text, p.name)
}

// Wait waits for the process to end, or for ctx.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s to end: %w", p.name, ctx.Err())
	}
}

// Signal sends a signal to the process alone, not to its children.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Stop asks the process to end with SIGTERM, kills it if it does not within stopGrace, waits, and kills what it left
// behind. Its error is nil if it ended with status 0 or by the signal. A second call is harmless.
func (p *Process) Stop() error {
	children := p.descendants()
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", p.name, err)
	}
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-p.done:
	case <-grace.C:
		p.Kill()
		return fmt.Errorf("stopping %s: killed, it was still there %v after SIGTERM", p.name, stopGrace)
	}
	p.killAll(children)
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGTERM {
			return nil
		}
	}
	return p.err
}

// Kill ends the process and all that it started with SIGKILL, so that nothing of it can clean up, and waits.
func (p *Process) Kill() {
	if !p.ended() {
		p.killAll(p.descendants())
	}
	<-p.done
}
