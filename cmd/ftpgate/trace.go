package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/proxy/trace"
)

// traceFlags are the flags of trace as they were given.
type traceFlags struct {
	config     string
	interfaces []string
	client     string
	ports      []uint
	write      string
	read       string
	duration   time.Duration
}

func traceCommand() *cobra.Command {
	var t traceFlags
	cmd := &cobra.Command{
		Use:   "trace",
		Short: "Follow FTP on the wire, both sides, as one story",
		Long: `Watches the control connections of FTP on both sides of this router, and the data
connections that they agree upon: what the client said, what the server got, who
dialled where, and who answered or did not. Passwords are masked, on the terminal
and in the file. It only listens: the gateway need not run, and FTP through the
kernel's helper is followed as well. Ctrl-C ends it with a summary.

Without --interface it watches the interfaces of the configuration, else all that
are up; without --port the control ports of the configuration, else 21.`,
		Example: `  ftpgate trace
  ftpgate trace --interface eth0 --interface eth1 --client 192.168.50.10
  ftpgate trace --write ftp.pcapng --duration 5m
  ftpgate trace --read ftp.pcapng`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("%q is too much; name interfaces with --interface, a capture with --read", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return runTrace(cmd, t) },
	}
	flags := cmd.Flags()
	configFlag(cmd, &t.config)
	flags.StringSliceVarP(&t.interfaces, "interface", "i", nil, "interface to watch; may be repeated")
	flags.StringVar(&t.client, "client", "", "only the sessions of this client: an address or a network")
	flags.UintSliceVar(&t.ports, "port", nil, "control port; may be repeated")
	flags.StringVarP(&t.write, "write", "w", "", "write the packets, with comments, to this pcapng file, over what is in it")
	flags.StringVarP(&t.read, "read", "r", "", "read this capture (pcap, pcapng) instead of interfaces")
	flags.DurationVar(&t.duration, "duration", 0, "end after this time")
	return cmd
}

func runTrace(cmd *cobra.Command, t traceFlags) error {
	if t.read != "" && (len(t.interfaces) > 0 || t.duration != 0) {
		return usageError{errors.New("--read reads a file whole: --interface and --duration do not go with it")}
	}
	if t.duration < 0 {
		return usageError{fmt.Errorf("--duration %s: it cannot be negative", t.duration)}
	}
	where, err := t.where(cmd)
	if err != nil {
		return err
	}
	chosen, err := clientFilter(t.client)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	w := &tracer{printer: trace.NewPrinter(out), errors: cmd.ErrOrStderr()}
	options := trace.Options{Ports: where.ports, Client: chosen, Tell: w.tell}
	if t.read == "" {
		options.Own = ownAddresses()
	}
	w.follower = trace.NewFollower(options)
	if t.read != "" {
		return w.file(where.ports, t.read, t.write, out)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	if t.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.duration)
		defer cancel()
	}
	return w.live(ctx, where, t.write, out)
}

// clientFilter reads an address or a network; the empty text admits everybody.
func clientFilter(text string) (func(netip.Addr) bool, error) {
	if text == "" {
		return nil, nil
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return func(c netip.Addr) bool { return c == a.Unmap() }, nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return nil, usageError{fmt.Errorf("--client %q: neither an address nor a network such as 192.168.50.0/24", text)}
	}
	return p.Contains, nil
}

// createCapture opens the file to write, which only its owner may read.
func createCapture(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, runError{fmt.Errorf("writing the packets: %w", err)}
	}
	return f, nil
}
