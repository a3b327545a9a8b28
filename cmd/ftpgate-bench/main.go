// Command ftpgate-bench measures ftpgate against what else carries FTP through a Linux router: plain routing, the
// kernel's own helper, and ProFTPD's mod_proxy. It builds one virtual router for each, loads one after the other, round
// by round, with real FTP, and prints a table. Its soak subcommand watches ftpgate through many thousand files.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Exit codes, those of ftpgate itself; the last one is the shell's for SIGINT.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 128 + int(syscall.SIGINT)
)

// controlPort is where FTP servers listen.
const controlPort = 21

// loadGCPercent lets the load's own processes, which have few live bytes, collect their garbage rarely. The gateways
// run as they are.
const loadGCPercent = 800

// options are the wishes of the command line.
type options struct {
	self     string // path of this program
	ftpgate  string // path of the daemon
	rounds   int
	duration time.Duration // of one measurement
	only     []string      // contestants
	figures  []string      // groups of figures
	json     string        // files; empty: none
	markdown string
}

func main() {
	if err := dispatch(os.Args[1:]); err != nil {
		os.Exit(tell(err))
	}
}

// usageError is a mistake on the command line.
type usageError struct{ error }

// errInterrupted is a clean end by a signal.
var errInterrupted = errors.New("interrupted")

// ended joins how something went and how cleaning up after it went. What fails because of a signal is not told.
func ended(ctx context.Context, went, cleaned error) error {
	if went != nil && ctx.Err() != nil {
		went = errInterrupted
	}
	if cleaned == nil {
		return went
	}
	return errors.Join(went, cleaned)
}

// tell prints why the program ends and returns its exit code.
func tell(err error) int {
	var usage usageError
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err == errInterrupted: // and nothing else: the end was clean
		fmt.Fprintln(os.Stderr, "ftpgate-bench: interrupted; the labs are gone")
		return exitInterrupted
	case errors.As(err, &usage):
		fmt.Fprintln(os.Stderr, "ftpgate-bench:", err)
		return exitUsage
	default:
		fmt.Fprintln(os.Stderr, "ftpgate-bench:", err)
		return exitFailed
	}
}

// dispatch runs the subcommand.
func dispatch(args []string) error {
	switch {
	case len(args) == 1 && args[0] == serveCommand:
		return serve()
	case len(args) == 1 && args[0] == relayCommand:
		return relay()
	case len(args) == 2 && args[0] == loadCommand:
		debug.SetGCPercent(loadGCPercent)
		return load(args[1])
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// The first signal asks for the clean end, a second one ends the process; the labs' wardens clean up even then.
	context.AfterFunc(ctx, stop)
	if len(args) > 0 && args[0] == soakCommand {
		return soak(ctx, args[1:])
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	return contest(ctx, o)
}

// serve is the server of the load, until SIGTERM.
func serve() error {
	debug.SetGCPercent(loadGCPercent)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{Port: controlPort})
	if err != nil {
		return fmt.Errorf("listening for control connections: %w", err)
	}
	fmt.Println(serving)
	return serveFiles(ctx, listener)
}

// parse reads the command line of a contest.
func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("ftpgate-bench", flag.ContinueOnError)
	flags.StringVar(&o.ftpgate, "ftpgate", besideSelf("ftpgate"), "the daemon's `file`")
	flags.IntVar(&o.rounds, "rounds", 5, "how many times each contestant is visited")
	seconds := flags.Float64("seconds", 1.5, "how long one measurement takes")
	only := flags.String("only", "", "contestants, with commas between them; empty: all")
	groups := flags.String("figures", "", "of "+strings.Join(groupNames(), ",")+"; empty: all")
	flags.StringVar(&o.json, "json", besideSelf("bench.json"), "`file` for all that was measured; empty: none")
	flags.StringVar(&o.markdown, "markdown", besideSelf("bench.md"), "`file` for the table in Markdown; empty: none")
	if err := flags.Parse(args); err != nil {
		return o, usageError{err}
	}
	if flags.NArg() > 0 {
		return o, usageError{fmt.Errorf("%q is one argument too many", flags.Arg(0))}
	}
	if o.rounds < 1 || *seconds <= 0 {
		return o, usageError{errors.New("--rounds and --seconds are above zero")}
	}
	o.duration = time.Duration(*seconds * float64(time.Second))
	var err error
	if o.only, err = choose("--only", *only, contestantNames()); err != nil {
		return o, err
	}
	if o.figures, err = choose("--figures", *groups, groupNames()); err != nil {
		return o, err
	}
	return o, o.findPrograms()
}

// choose reads a list of names, each of which must be known. An empty one means all.
func choose(name, list string, known []string) ([]string, error) {
	if list == "" {
		return known, nil
	}
	chosen := strings.Split(list, ",")
	for _, c := range chosen {
		if !slices.Contains(known, c) {
			return nil, usageError{fmt.Errorf("%s: %q is not one of %s", name, c, strings.Join(known, ", "))}
		}
	}
	return chosen, nil
}

// findPrograms finds the daemon and this program itself.
func (o *options) findPrograms() (err error) {
	if o.self, err = os.Executable(); err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	if o.ftpgate, err = filepath.Abs(o.ftpgate); err != nil {
		return fmt.Errorf("finding the daemon: %w", err)
	}
	if _, err := os.Stat(o.ftpgate); err != nil {
		return fmt.Errorf("finding the daemon: %w; build it by make build, or say --ftpgate FILE", err)
	}
	return nil
}

// besideSelf is a file in the directory of this program.
func besideSelf(name string) string {
	self, err := os.Executable()
	if err != nil {
		return name
	}
	return filepath.Join(filepath.Dir(self), name)
}
