package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ftpgate/ftpgate/cmd/ftpgate/doctor"
	"github.com/ftpgate/ftpgate/cmd/ftpgate/setup"
	"github.com/ftpgate/ftpgate/configs"
)

const (
	// unit is the service that the packages install.
	unit = "ftpgate.service"
	// unedited is in the configuration that the packages bring (deploy/package).
	unedited = "lan: [EDIT-ME]"
	// configMode lets the daemon's group read.
	configMode = 0o640
)

// setupFlags are those of ftpgate setup.
type setupFlags struct {
	config        string
	lan, wan      []string
	publish       []string
	noOutbound    bool
	router        bool
	force, dryRun bool
	noEnable, yes bool
}

func setupCommand() *cobra.Command {
	var f setupFlags
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Write a configuration for this host, check it, and enable the service",
		Long: `Looks at the interfaces of this host and tells the LAN from the Internet: the
default route leaves by the WAN, the LAN has private addresses. Writes a
commented configuration, checks it, lets doctor look at the host, and enables and
starts the service. On a terminal it asks for what it cannot tell, for a server to
publish, and before it writes; elsewhere, and with --yes, what cannot be told is an
error, and nothing is guessed. A file that is there is not overwritten without
--force, unless it is the unedited one of the package; the old one is kept beside
it.`,
		Example: `  ftpgate setup --dry-run
  ftpgate setup --publish 192.168.50.20
  ftpgate setup --lan eth0 --wan ppp0 --router`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	configFlag(cmd, &f.config)
	flags.StringArrayVar(&f.lan, "lan", nil, "interface of the trusted side (default: the one that has private addresses)")
	flags.StringArrayVar(&f.wan, "wan", nil, "interface of the Internet side (default: the one by which the default route leaves)")
	flags.StringArrayVar(&f.publish, "publish", nil, "server on the LAN that clients outside reach, ADDRESS or ADDRESS:PORT; once for each family")
	flags.BoolVar(&f.noOutbound, "no-outbound", false, "no rule for LAN clients that go out")
	flags.BoolVar(&f.router, "router", false, "make this host the LAN's router as well: forwarding and masquerading")
	flags.BoolVar(&f.force, "force", false, "replace the configuration that is there; the old one is kept as FILE.old")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the configuration and what doctor finds, change nothing")
	flags.BoolVar(&f.noEnable, "no-enable", false, "do not enable and start the service")
	flags.BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (f *setupFlags) run(in io.Reader, out, notes io.Writer) error {
	servers, err := serversOf(f.publish)
	if err != nil {
		return usageError{fmt.Errorf("--publish: %w", err)}
	}
	if f.noOutbound && len(servers) == 0 {
		return usageError{errors.New("nothing is left to do: --no-outbound without --publish")}
	}
	if f.pristine() {
		f.force = true
	}
	if _, err := os.Lstat(f.config); err == nil && !f.force && !f.dryRun {
		return usageError{fmt.Errorf("%s is there already; --force replaces it and keeps the old one, --dry-run shows what would be written", f.config)}
	}
	host, err := setup.Look()
	if err != nil {
		return runError{err}
	}
	ask := f.interview(in, notes)
	sides, err := ask.sides(setup.Sides{LAN: f.lan, WAN: f.wan}, host)
	if err != nil {
		return err
	}
	if len(servers) == 0 {
		if servers, err = ask.servers(); err != nil {
			return err
		}
	}
	plan := setup.Plan{Sides: sides, Outbound: !f.noOutbound, Publish: servers, Router: f.router}
	if len(servers) > 0 {
		plan.Note = setup.PublicNote(sides, host)
	}
	text := plan.Config()
	report, err := examine(text)
	if err != nil {
		return err
	}
	if f.dryRun {
		if _, err := io.WriteString(out, text); err != nil {
			return runError{err}
		}
		return concluded(report, notes)
	}
	fmt.Fprintf(out, "LAN: %s   WAN: %s\n", strings.Join(sides.LAN, ", "), strings.Join(sides.WAN, ", "))
	if !ask.confirmed("Write " + f.config + "?") {
		return runError{errors.New("nothing was written")}
	}
	if err := f.write(text); err != nil {
		return runError{err}
	}
	fmt.Fprintf(out, "%s is written\n", f.config)
	if err := concluded(report, notes); err != nil {
		return err // the service would not do what it is for
	}
	return f.enable(ask, out)
}

// pristine tells whether the file is that of the packages, which nobody has edited.
func (f *setupFlags) pristine() bool {
	text, err := os.ReadFile(f.config)
	return err == nil && strings.Contains(string(text), unedited)
}

// serversOf reads the addresses of the server that is to be published.
func serversOf(texts []string) (all []netip.AddrPort, err error) {
	for _, text := range texts {
		server, err := netip.ParseAddrPort(text)
		if err != nil {
			address, err := netip.ParseAddr(strings.Trim(text, "[]"))
			if err != nil {
				return nil, fmt.Errorf("%s is neither an address nor address:port", text)
			}
			server = netip.AddrPortFrom(address, 21)
		}
		for _, other := range all {
			if other.Addr().Is4() == server.Addr().Is4() || other.Port() != server.Port() {
				return nil, fmt.Errorf("%s beside %s: one server has one address of each family, and one port; further ones are further rules in the file", text, other)
			}
		}
		all = append(all, server)
	}
	return all, nil
}

// examine checks the text as a configuration and has doctor look at the host
// with it. A refusal is a fault of ours, or of a name that no configuration may have.
func examine(text string) (doctor.Report, error) {
	file, err := os.CreateTemp("", "ftpgate-setup-*.yaml")
	if err != nil {
		return doctor.Report{}, runError{err}
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(text)
	if err := errors.Join(err, file.Close()); err != nil {
		return doctor.Report{}, runError{err}
	}
	config, _, err := configs.Load(file.Name())
	if err != nil {
		return doctor.Report{}, err
	}
	return doctor.Examine(gather("the new configuration", config)), nil
}

// concluded prints what doctor found, if it is anything to act on.
func concluded(report doctor.Report, notes io.Writer) error {
	worth := report.Fails
	for _, o := range report.Checks {
		worth = worth || !o.Good()
	}
	if !worth {
		return nil
	}
	if err := report.Print(notes); err != nil {
		return runError{err}
	}
	if report.Fails {
		return runError{errors.New("FTP would fail on this host: cure what doctor found, then systemctl enable --now " + unit)}
	}
	return nil
}

// write puts the file in place whole; an old one is kept.
func (f *setupFlags) write(text string) error {
	if err := os.MkdirAll(filepath.Dir(f.config), 0o755); err != nil {
		return err
	}
	next := f.config + ".new"
	if err := os.WriteFile(next, []byte(text), configMode); err != nil {
		return err
	}
	defer os.Remove(next) // if it is still there
	group := -1
	if info, err := os.Stat(filepath.Dir(f.config)); err == nil { // that of the packages is of the daemon's group
		group = groupOf(info)
	}
	if err := os.Chown(next, -1, group); err != nil {
		return err
	}
	if !f.force {
		err := os.Link(next, f.config) // unlike rename(2), it replaces nothing
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s has appeared meanwhile and was left alone", f.config)
		}
		return err
	}
	if err := os.Rename(f.config, f.config+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(next, f.config)
}

// enable enables and starts the service, if there is one.
func (f *setupFlags) enable(ask *interview, out io.Writer) error {
	byHand := "ftpgate run --config " + f.config
	switch {
	case f.noEnable:
		fmt.Fprintln(out, "the service was left alone: systemctl enable --now "+unit)
		return nil
	case f.config != defaultConfig:
		fmt.Fprintf(out, "the service reads %s and was left alone; this file is for: %s\n", defaultConfig, byHand)
		return nil
	case exec.Command("systemctl", "cat", unit).Run() != nil:
		fmt.Fprintln(out, "no "+unit+" is installed here: "+byHand)
		return nil
	case !ask.confirmed("Enable and start " + unit + "?"):
		return nil
	}
	// One that runs reads the file as well.
	for _, args := range [][]string{{"enable", unit}, {"reload-or-restart", unit}} {
		if text, err := exec.Command("systemctl", args...).CombinedOutput(); err != nil {
			return runError{fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(text)))}
		}
	}
	fmt.Fprintln(out, unit+" is enabled and runs; look at http://127.0.0.1:9121/ or ftpgate status")
	return nil
}

// groupOf is the group of a file.
func groupOf(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Gid)
	}
	return -1
}
