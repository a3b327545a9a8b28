// Command ftpgate-demo shows ftpgate at work on one machine: it builds a router with a LAN and a piece of the Internet
// out of network namespaces, runs the real daemon on that router, transfers files through it in every way that FTP
// has, and shows what was said, what became of it, and which rules lived meanwhile.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/ftpgate/ftpgate/deploy/lab"
)

// Exit codes, those of ftpgate itself; the last one is the shell's for SIGINT.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 128 + int(syscall.SIGINT)
)

// options are the wishes of the command line.
type options struct {
	ftpgate string // path of the daemon
	variant lab.Variant
	backend string // firewall.backend of the daemon
	hold    bool   // stay up after the flows
	full    bool   // show every rule whole
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == serveCommand {
		os.Exit(serve(os.Args[2]))
	}
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ftpgate-demo:", err)
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// The first signal asks for the clean end, a second one ends the process; the lab's warden cleans up even then.
	context.AfterFunc(ctx, stop)
	switch err := show(ctx, o, newPrinter(os.Stdout)); err {
	case nil:
	case errInterrupted: // and nothing else: the end was clean
		fmt.Fprintln(os.Stderr, "ftpgate-demo: interrupted; the lab is gone")
		os.Exit(exitInterrupted)
	default:
		fmt.Fprintf(os.Stderr, "\nftpgate-demo: %v\n", err)
		os.Exit(exitFailed)
	}
}

// parse reads the command line and the environment.
func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("ftpgate-demo", flag.ContinueOnError)
	flags.StringVar(&o.ftpgate, "ftpgate", besideSelf("ftpgate"), "the daemon's `file`")
	variant := flags.String("iptables", string(lab.NFT), "which iptables carries the router's rules: nft or legacy")
	flags.StringVar(&o.backend, "backend", "auto", "what the daemon is to hold its pinholes in: auto, nftables or iptables")
	flags.BoolVar(&o.hold, "hold", os.Getenv("HOLD") == "1", "stay up afterwards, to look around; also by HOLD=1")
	flags.BoolVar(&o.full, "full", false, "show every rule whole")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is one argument too many", flags.Arg(0))
	}
	o.variant = lab.Variant(*variant)
	if !slices.Contains([]lab.Variant{lab.NFT, lab.Legacy}, o.variant) {
		return o, fmt.Errorf("--iptables is nft or legacy, not %q", *variant)
	}
	if !slices.Contains([]string{"auto", "nftables", "iptables"}, o.backend) {
		return o, fmt.Errorf("--backend is auto, nftables or iptables, not %q", o.backend)
	}
	file, err := filepath.Abs(o.ftpgate)
	if err != nil {
		return o, fmt.Errorf("finding the daemon: %w", err)
	}
	if _, err := os.Stat(file); err != nil {
		return o, fmt.Errorf("finding the daemon: %w; build it by make build, or say --ftpgate FILE", err)
	}
	o.ftpgate = file
	return o, nil
}

// besideSelf is a file in the directory of this program.
func besideSelf(name string) string {
	self, err := os.Executable()
	if err != nil {
		return name
	}
	return filepath.Join(filepath.Dir(self), name)
}
