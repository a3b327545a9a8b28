package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/configs"
	"github.com/ftpgate/ftpgate/proxy/status"
)

// watchEvery is the time between two looks of --watch.
const watchEvery = 2 * time.Second

// statusFlags are those of ftpgate status.
type statusFlags struct {
	config, address, tokenFile string
	json, watch                bool
	failed                     bool
	limit                      int
}

// views are the parts of ftpgate status; "" is the whole.
var views = map[string]func(context.Context, *status.Client, statusFlags) (any, error){
	"":          askStatus,
	"sessions":  askSessions,
	"pinholes":  askPinholes,
	"transfers": askTransfers,
}

func statusCommand() *cobra.Command {
	var f statusFlags
	cmd := &cobra.Command{
		Use:   "status [sessions|pinholes|transfers]",
		Short: "Show what the running gateway does",
		Long: `Asks the status endpoint of a running gateway: without an argument for the
daemon, its interfaces, rules and warnings; or for the sessions, for the pinholes
with what is known so far of a connection that does not come, or for the last
transfers, those that failed with the reason and the evidence.

The address, token and certificate are those of the configuration if it can be
read, else 127.0.0.1:9121.`,
		Example: `  ftpgate status
  ftpgate status transfers --failed
  ftpgate status sessions --watch
  ftpgate status --json | jq .pinholes`,
		ValidArgs: []string{"sessions", "pinholes", "transfers"},
		Args:      oneOf,
		RunE: func(cmd *cobra.Command, args []string) error {
			view := ""
			if len(args) == 1 {
				view = args[0]
			}
			if view != "transfers" && (f.failed || cmd.Flags().Changed("limit")) {
				return usageError{errors.New("--failed and --limit belong to ftpgate status transfers")}
			}
			client, err := f.client(cmd.Flags().Changed("config"), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
			defer stop()
			look := func() ([]byte, error) { return f.look(ctx, client, view) }
			if f.watch {
				return watch(ctx, cmd.OutOrStdout(), f.json, look)
			}
			text, err := look()
			if err != nil {
				return runError{err}
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	configFlag(cmd, &f.config)
	flags := cmd.Flags()
	flags.StringVarP(&f.address, "address", "a", "", "status.listen of the gateway, or its URL (default: as configured)")
	flags.StringVar(&f.tokenFile, "token-file", "", "file of the token (default: as configured)")
	flags.BoolVar(&f.json, "json", false, "print the answer as JSON; with --watch a line for each look")
	flags.BoolVarP(&f.watch, "watch", "w", false, "look again every two seconds until interrupted")
	flags.BoolVar(&f.failed, "failed", false, "of the transfers, only those that did not happen")
	flags.IntVarP(&f.limit, "limit", "n", 20, "of the transfers, so many")
	return cmd
}

// client finds out where to ask. A configuration that was not asked for need not
// be there, or be readable by whoever asks.
func (f statusFlags) client(asked bool, notes io.Writer) (*status.Client, error) {
	o := status.Options{Listen: configs.Defaults().Status.Listen}
	config, _, err := configs.Load(f.config)
	switch {
	case err == nil:
		o = statusOptions(config)
	case asked && errors.Is(err, fs.ErrNotExist):
		return nil, err
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) && f.address == "":
		// A daemon that runs has an older one in force, of which it can tell.
		fmt.Fprintf(notes, "warning: %v\nasking %s instead\n", err, o.Listen)
	}
	if f.address != "" && f.address != o.Listen {
		o = status.Options{Listen: f.address} // somebody else's token and certificate
	}
	if f.tokenFile != "" {
		o.TokenFile = f.tokenFile
	}
	if o.Listen == "" {
		return nil, runError{fmt.Errorf("%s turns the endpoint off: status.listen is empty", f.config)}
	}
	client, err := status.NewClient(o)
	if err != nil && f.address == "" && f.tokenFile == "" {
		return nil, runError{err} // a file of the configuration
	}
	if err != nil {
		return nil, usageError{err}
	}
	return client, nil
}

// look asks once and writes what was answered.
func (f statusFlags) look(ctx context.Context, c *status.Client, view string) ([]byte, error) {
	value, err := views[view](ctx, c, f)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if f.json {
		e := json.NewEncoder(&b)
		if !f.watch {
			e.SetIndent("", "  ")
		}
		err = e.Encode(value)
		return b.Bytes(), err
	}
	switch v := value.(type) {
	case status.StatusJSON:
		writeStatus(&b, v)
	case status.SessionsJSON:
		writeSessions(&b, v)
	case status.PinholesJSON:
		writePinholes(&b, v)
	case status.TransfersJSON:
		writeTransfers(&b, v, f.failed)
	}
	return b.Bytes(), nil
}

func askStatus(ctx context.Context, c *status.Client, _ statusFlags) (any, error) {
	var v status.StatusJSON
	err := c.Get(ctx, "api/v1/status", &v)
	return v, err
}

// askSessions reads all pages. What begins meanwhile is on the last one.
func askSessions(ctx context.Context, c *status.Client, _ statusFlags) (any, error) {
	all := status.SessionsJSON{Sessions: []status.SessionJSON{}}
	for {
		var page status.SessionsJSON
		if err := c.Get(ctx, fmt.Sprintf("api/v1/sessions?limit=1000&after=%d", all.Next), &page); err != nil {
			return nil, err
		}
		all.Sessions = append(all.Sessions, page.Sessions...)
		all.Total, all.Next = page.Total, page.Next
		if page.Next == 0 {
			return all, nil
		}
	}
}

func askPinholes(ctx context.Context, c *status.Client, _ statusFlags) (any, error) {
	var v status.PinholesJSON
	err := c.Get(ctx, "api/v1/pinholes", &v)
	return v, err
}

func askTransfers(ctx context.Context, c *status.Client, f statusFlags) (any, error) {
	var v status.TransfersJSON
	err := c.Get(ctx, fmt.Sprintf("api/v1/transfers?limit=%d&failed=%t", f.limit, f.failed), &v)
	return v, err
}

// watch shows one look after the other: on a terminal in the same place, else
// below each other. A daemon that does not answer is waited for.
func watch(ctx context.Context, w io.Writer, lines bool, look func() ([]byte, error)) error {
	show := func(text []byte) error {
		if !lines {
			text = append(text, '\n')
		}
		_, err := w.Write(text)
		return err
	}
	if file, ok := w.(*os.File); ok && !lines && isTerminal(file) {
		leave := enterScreen(file)
		defer leave()
		show = func(text []byte) error { return repaint(file, text) }
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		text, err := look()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if lines {
				return runError{err}
			}
			text = fmt.Appendf(nil, "%s  %v\n", time.Now().Format(time.TimeOnly), err)
		}
		if err := show(text); err != nil {
			return runError{err}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
