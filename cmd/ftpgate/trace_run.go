package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/proxy/trace"
)

const (
	// traceQueue is how many packets may wait for the follower, beside those in the socket's buffer.
	traceQueue = 1024
	// traceTick is how often the follower is told the time when no packet comes.
	traceTick = 100 * time.Millisecond
	// traceRest is how long nothing must come at the end before all that was captured has been read, and traceEnd how
	// long that may take.
	traceRest = 50 * time.Millisecond
	traceEnd  = 5 * time.Second
	// traceDisorder is how much too late a packet may come: what one processor has received waits until it has time.
	traceDisorder = 100 * time.Millisecond
)

// tracer takes segments to the follower, and what it says of them to the terminal and the file.
type tracer struct {
	follower *trace.Follower
	printer  *trace.Printer
	recorder *trace.Recorder // nil: no file
	errors   io.Writer
	failed   error // of the terminal
}

func (w *tracer) tell(l trace.Line) {
	if err := w.printer.Print(l); err != nil && w.failed == nil {
		w.failed = fmt.Errorf("writing the story: %w", err)
	}
}

// host says which addresses are those of the host of the packets.
func (w *tracer) host(own []netip.Addr) {
	w.follower.Host(own)
	if w.recorder != nil {
		w.recorder.Host(own)
	}
}

// take takes one segment.
func (w *tracer) take(s *trace.Segment) error {
	keep, comment := w.follower.Take(s)
	if w.recorder != nil {
		if err := w.recorder.Write(s, keep, comment); err != nil {
			return err
		}
	}
	return w.failed
}

// finish ends the story.
func (w *tracer) finish(out io.Writer, before error) error {
	err := errors.Join(before, w.follower.Close().Print(out))
	if w.recorder != nil {
		err = errors.Join(err, w.recorder.Flush())
	}
	if err != nil {
		return runError{err}
	}
	return nil
}

// record prepares the file that --write names; "" is none.
func (w *tracer) record(path string) (end func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	file, err := createCapture(path)
	if err != nil {
		return nil, err
	}
	w.recorder = trace.NewRecorder(file)
	return func() error {
		if err := file.Close(); err != nil {
			return runError{fmt.Errorf("writing the packets: %w", err)}
		}
		return nil
	}, nil
}

// file reads a capture.
func (w *tracer) file(ports []uint16, read, write string, out io.Writer) error {
	in, err := os.Open(read)
	if err != nil {
		return runError{fmt.Errorf("reading packets: %w", err)}
	}
	defer in.Close()
	if same(in, write) {
		return usageError{fmt.Errorf("--write %s is the file that --read reads", write)}
	}
	end, err := w.record(write)
	if err != nil {
		return err
	}
	err = trace.ReadFile(in, ports, w.host, w.take)
	if err != nil {
		err = fmt.Errorf("%s: %w", read, err)
	}
	return errors.Join(w.finish(out, err), end())
}

// same says whether a path leads to an open file.
func same(in *os.File, path string) bool {
	a, err := in.Stat()
	if err != nil || path == "" {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

// live watches interfaces until ctx ends.
func (w *tracer) live(ctx context.Context, where traceWhere, write string, out io.Writer) error {
	capture, err := trace.OpenCapture(where.interfaces, where.ports)
	if err != nil {
		if errors.Is(err, unix.EPERM) {
			err = fmt.Errorf("%w; run it as root, or give it CAP_NET_RAW", err)
		}
		return runError{err}
	}
	end, err := w.record(write)
	if err != nil {
		capture.Close()
		return err
	}
	var names []string
	for _, i := range where.interfaces {
		names = append(names, i.Name)
	}
	fmt.Fprintf(w.errors, "watching %s for control connections to port %s; Ctrl-C ends it\n",
		strings.Join(names, ", "), strings.Trim(strings.ReplaceAll(fmt.Sprint(where.ports), " ", ", "), "[]"))
	if w.recorder != nil {
		w.recorder.Host(hostAddresses())
	}
	err = w.follow(ctx, capture)
	captured, dropped := capture.Dropped()
	capture.Close()
	err = w.finish(out, err)
	if dropped > 0 {
		fmt.Fprintf(w.errors, "warning: %d of %d packets came faster than they were read and are missing\n", dropped, captured)
	}
	return errors.Join(err, end())
}

// follow takes packets until ctx ends, and then those that have been captured by then. Its reader ends when the capture is
// closed, which the caller does.
func (w *tracer) follow(ctx context.Context, capture *trace.Capture) error {
	packets := make(chan *trace.Packet, traceQueue)
	failed := make(chan error, 1)
	quit := make(chan struct{})
	defer close(quit)
	go readPackets(capture, packets, failed, quit)
	decoder, order := trace.NewDecoder(), trace.NewOrder(traceDisorder, w.take)
	tick := time.NewTicker(traceTick)
	defer tick.Stop()
	done := ctx.Done()
	var rest, end <-chan time.Time // nil: not ending yet
	for {
		select {
		case p := <-packets:
			if s := decoder.Decode(p); s != nil {
				if err := order.Add(s); err != nil {
					return err
				}
			}
			if rest != nil {
				rest = time.After(traceRest)
			}
		case now := <-tick.C:
			if len(packets) > 0 {
				continue // what happened before now comes first
			}
			if err := order.Advance(now); err != nil {
				return err
			}
			w.follower.Advance(now.Add(-traceDisorder))
			if w.recorder != nil { // who looks at the file meanwhile finds it complete
				if err := w.recorder.Flush(); err != nil {
					return err
				}
			}
		case err := <-failed:
			return errors.Join(err, order.Flush())
		case <-done:
			done, rest, end = nil, time.After(traceRest), time.After(traceEnd)
		case <-rest:
			return order.Flush()
		case <-end:
			return order.Flush()
		}
	}
}

func readPackets(capture *trace.Capture, packets chan<- *trace.Packet, failed chan<- error, quit <-chan struct{}) {
	for {
		p, err := capture.Next()
		if err != nil {
			failed <- err
			return
		}
		select {
		case packets <- p:
		case <-quit:
			return
		}
	}
}
