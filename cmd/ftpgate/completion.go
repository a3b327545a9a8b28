package main

import (
	"errors"
	"io"
	"net"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print what makes a shell complete ftpgate's commands, flags and their values",
		Long: `Prints a script for the shell that is named.

bash, with the package bash-completion (Debian: apt-get install bash-completion): in this shell, and in every new one:

    source <(ftpgate completion bash)
    ftpgate completion bash >/usr/share/bash-completion/completions/ftpgate

zsh, with compinit in ~/.zshrc, in every new shell:

    ftpgate completion zsh >/usr/local/share/zsh/site-functions/_ftpgate

fish, in every new shell:

    ftpgate completion fish >/etc/fish/completions/ftpgate.fish`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("name the shell: bash, zsh or fish")}
			}
			return oneOf(cmd, args)
		},
		ValidArgs:             []string{"bash", "zsh", "fish"},
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return writeCompletion(cmd.Root(), args[0], cmd.OutOrStdout())
		},
	}
}

func writeCompletion(root *cobra.Command, shell string, w io.Writer) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(w, true)
	case "zsh":
		return root.GenZshCompletion(w)
	default:
		return root.GenFishCompletion(w, true)
	}
}

// completions are the values of flags, whichever command has them.
var completions = map[string]cobra.CompletionFunc{
	"config":    yamlFiles,
	"interface": interfaceNames,
}

// completeFlags gives the flags of a command and all below it their completion.
func completeFlags(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if values, ok := completions[f.Name]; ok {
			cmd.RegisterFlagCompletionFunc(f.Name, values) // fails only for a flag that is not there
		}
	})
	for _, child := range cmd.Commands() {
		completeFlags(child)
	}
}

func yamlFiles(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return []cobra.Completion{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

func interfaceNames(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []cobra.Completion
	for _, i := range all {
		names = append(names, i.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
