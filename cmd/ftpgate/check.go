package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ftpgate/ftpgate/configs"
)

func checkCommand() *cobra.Command {
	var path string
	var print bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Read and check the configuration, change nothing",
		Long: `Reads the configuration as run would and stops where the machine would change.
Every finding names file, line, key, value and cure. Exit code 2 if there is any.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, warnings, err := configs.Load(path)
			if err != nil {
				return err
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
	return cmd
}
