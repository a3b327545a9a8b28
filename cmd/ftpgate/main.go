// Command ftpgate is an FTP-aware gateway for a Linux router: it takes FTP
// control connections over transparently and opens the packet filter for
// exactly the data connections that they negotiate.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ftpgate/ftpgate/configs"
)

// defaultConfig is where the packages put the configuration.
const defaultConfig = "/etc/ftpgate/ftpgate.yaml"

// Exit codes, the same for every subcommand.
const (
	exitFailed = 1 // it was tried and failed
	exitUsage  = 2 // wrong usage or configuration
)

// usageError is an error of the caller: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// extra are the commands of a build with tags: see docs.go.
var extra []*cobra.Command

func main() {
	root := &cobra.Command{
		Use:   "ftpgate",
		Short: "FTP-aware gateway: transparent control proxy, pinholes for data connections",
		Long: `ftpgate makes FTP work through the NAT and the default-deny firewall of a Linux
router, in both directions, without a single data port that is open for good.
It takes control connections over transparently, reads which data connection
client and server are about to make, and opens the packet filter for that one
connection alone. Clients and servers change nothing.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{errors.New("a subcommand is missing, see ftpgate --help")}
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(runCommand(), checkCommand(), statusCommand(), doctorCommand(), setupCommand(), traceCommand(), completionCommand(), versionCommand())
	root.AddCommand(extra...)
	completeFlags(root)
	root.CompletionOptions.DisableDefaultCmd = true
	root.Version = versionText()
	cmd, err := root.ExecuteC()
	if err != nil {
		os.Exit(report(cmd, err))
	}
}

// report prints what went wrong and chooses the exit code.
func report(cmd *cobra.Command, err error) int {
	var findings configs.Errors
	if errors.As(err, &findings) {
		fmt.Fprintln(os.Stderr, findings)
		return exitUsage
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", cmd.CommandPath(), err)
	// cobra's own complaints (an unknown subcommand, a wrong argument) come
	// before any RunE and are the caller's.
	if errors.As(err, new(usageError)) || !errors.As(err, new(runError)) {
		return exitUsage
	}
	return exitFailed
}

// runError is a failure of the work itself: exit code 1.
type runError struct{ error }

func (e runError) Unwrap() error { return e.error }

// noArguments says what people mean who give a file as an argument.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError{fmt.Errorf("%q is too much; name the configuration with --config", args[0])}
}

func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", defaultConfig, "configuration file")
}
