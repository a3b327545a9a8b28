package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ftpgate/ftpgate/cmd/ftpgate/doctor"
	"github.com/ftpgate/ftpgate/configs"
)

func checkCommand() *cobra.Command {
	var path string
	var print, elsewhere, reload bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Read and check the configuration, change nothing",
		Long: `Reads the configuration as run would and stops where the machine would change.
Every finding names file, line, key, value and cure. Exit code 2 if there is any.

It also looks whether the files that the configuration names (token, certificate,
audit) can be opened by the user that runs the gateway: the one that runs it now,
else the one of ftpgate.service, else root. What the one who asks may not know about
that user is a warning. --elsewhere leaves this out: the gateway is on another machine.

If the gateway runs, a setting that changes only with a restart is a warning, and with
--reload an error: a reload would be refused.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, warnings, err := configs.Load(path)
			if err != nil {
				return err
			}
			if !elsewhere {
				found, unsure := placed(path, append(keeps(config, !reload), theRunner().troubles(filesOf(config))...))
				if found != nil {
					return found
				}
				warnings = append(warnings, unsure...)
			}
			for _, w := range warnings {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
			}
			if !print {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: good, rules: %d\n", path, len(config.Rules))
				return err
			}
			effective, err := config.YAML()
			if err != nil {
				return runError{err}
			}
			_, err = cmd.OutOrStdout().Write(effective)
			return err
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&print, "print", false, "print the effective configuration, defaults included")
	cmd.Flags().BoolVar(&elsewhere, "elsewhere", false, "the configuration is for another machine: do not look at the files that it names")
	cmd.Flags().BoolVar(&reload, "reload", false, "refuse what the gateway that runs would refuse at a reload")
	cmd.MarkFlagsMutuallyExclusive("elsewhere", "reload")
	return cmd
}

// keeps are the settings that the gateway keeps which runs here, if one does; a restart makes them good.
func keeps(c *configs.Config, restart bool) []doctor.Trouble {
	h, err := holder()
	if err != nil || !h.believed() {
		return nil
	}
	found := kept(h.settings, h.Pid, c)
	for i := range found {
		found[i].Unsure = restart
	}
	return found
}
