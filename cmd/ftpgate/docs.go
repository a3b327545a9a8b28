//go:build docs

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ftpgate/ftpgate/configs"
)

// A build with the tag docs has one command more, which `make docs` runs; the
// daemon has nothing of it.
func init() { extra = append(extra, docsCommand()) }

func docsCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "docs DIR",
		Short:  "Write man pages and completions below DIR",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := writeDocs(cmd.Root(), args[0]); err != nil {
				return runError{err}
			}
			return nil
		},
	}
}

// writeDocs writes man/*.1, man/*.5 and completions/{bash,zsh,fish}.
func writeDocs(root *cobra.Command, dir string) error {
	date, err := pageDate()
	if err != nil {
		return err
	}
	files := map[string][]byte{"man/ftpgate.yaml.5": configurationPage(date)}
	commands := []*cobra.Command{root}
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			commands = append(commands, c)
		}
	}
	for _, c := range commands {
		files["man/"+pageName(c)+".1"] = commandPage(c, commands, date)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var script bytes.Buffer
		if err := writeCompletion(root, shell, &script); err != nil {
			return err
		}
		files["completions/"+shell] = script.Bytes()
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// pageDate is that of the source, not of the build: SOURCE_DATE_EPOCH (see
// reproducible-builds.org). Without it the pages have no date.
func pageDate() (string, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return "", nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return "", fmt.Errorf("SOURCE_DATE_EPOCH is not a number of seconds: %w", err)
	}
	return time.Unix(seconds, 0).UTC().Format(time.DateOnly), nil
}

func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// commandPage is the man page of a command.
func commandPage(c *cobra.Command, all []*cobra.Command, date string) []byte {
	c.InitDefaultHelpFlag()
	c.InitDefaultVersionFlag()
	p := newPage(pageName(c), 1, date, c.Short)
	p.section("SYNOPSIS")
	usage, flags := strings.CutSuffix(c.UseLine(), " [flags]")
	usage = bold(usage)
	if !c.HasParent() {
		usage += " " + italic("command")
	}
	if flags {
		usage += " [" + italic("flags") + "]"
	}
	p.line(usage)
	p.section("DESCRIPTION")
	p.text(c.Long)
	if c.Long == "" {
		p.text(c.Short + ".")
	}
	if !c.HasParent() {
		p.section("COMMANDS")
		for _, one := range all[1:] {
			p.item(bold(pageName(one))+"(1)", one.Short+".")
		}
	}
	p.section("OPTIONS")
	c.Flags().VisitAll(func(f *pflag.Flag) { p.item(flagName(f), flagMeaning(f)) })
	if c.Example != "" {
		p.section("EXAMPLES")
		p.verbatim(strings.ReplaceAll(strings.TrimPrefix(c.Example, "  "), "\n  ", "\n"))
	}
	p.section("EXIT STATUS")
	p.item("0", "Good.")
	p.item(strconv.Itoa(exitFailed), "It failed.")
	p.item(strconv.Itoa(exitUsage), "Wrong usage or configuration.")
	p.section("SEE ALSO")
	var others []string
	for _, one := range all {
		if one != c {
			others = append(others, bold(pageName(one))+"(1)")
		}
	}
	p.line(strings.Join(append(others, bold("ftpgate.yaml")+"(5)"), ", "))
	return p.Bytes()
}

func flagName(f *pflag.Flag) string {
	name := bold("--" + f.Name)
	if f.Shorthand != "" {
		name = bold("-"+f.Shorthand) + ", " + name
	}
	if kind, _ := pflag.UnquoteUsage(f); kind != "" {
		name += " " + italic(kind)
	}
	return name
}

func flagMeaning(f *pflag.Flag) string {
	_, usage := pflag.UnquoteUsage(f)
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" {
		usage += " (default " + f.DefValue + ")"
	}
	return usage + "."
}

// configurationPage is ftpgate.yaml(5), made of the reference.
func configurationPage(date string) []byte {
	p := newPage("ftpgate.yaml", 5, date, "configuration of ftpgate")
	p.section("DESCRIPTION")
	head, _, _ := strings.Cut(string(configs.Reference()), "\n\n")
	_, rest, _ := strings.Cut(strings.ReplaceAll(head, "# ", ""), "\n#\n") // its first paragraph is about the reference itself
	p.text("The file is " + defaultConfig + " unless --config names another one, in YAML.\n\n" + strings.ReplaceAll(rest, "\n#\n", "\n\n"))
	p.section("KEYS")
	for _, key := range configs.Keys() {
		p.item(bold(key.Path), key.Meaning+"\n\n"+keyDefault(key))
	}
	p.section("EXAMPLE")
	p.verbatim(string(configs.Example()))
	p.section("SEE ALSO")
	p.line(bold("ftpgate") + "(1), " + bold("ftpgate-check") + "(1), " + bold("ftpgate-run") + "(1)")
	return p.Bytes()
}

func keyDefault(key configs.Key) string {
	switch {
	case key.Must:
		return "It has no default and has to be stated."
	case key.Inbound == "" && key.Outbound == "":
		return "Default: none."
	case key.Inbound != key.Outbound:
		return "Default: " + key.Inbound + " inbound, " + key.Outbound + " outbound."
	}
	return "Default: " + key.Inbound
}
