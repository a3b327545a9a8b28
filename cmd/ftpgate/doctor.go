package main

import (
	"encoding/json"
	"errors"

	"github.com/spf13/cobra"

	"github.com/ftpgate/ftpgate/cmd/ftpgate/doctor"
	"github.com/ftpgate/ftpgate/configs"
	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/firewall/iptables"
	"github.com/ftpgate/ftpgate/firewall/nftables"
	"github.com/ftpgate/ftpgate/nat"
)

func doctorCommand() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what on this host would make FTP fail, each finding with its cure",
		Long: `Looks at interfaces, routes, settings of the kernel, the rules of every packet
filter and their owners for what would make FTP fail through the gateway, whether
it runs already or not. It changes nothing. Each check says what it saw; one that
could not be made says so. Exit code 1 if FTP would fail.`,
		Example: `  ftpgate doctor
  ftpgate doctor --config new.yaml --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, _, err := configs.Load(path)
			if err != nil {
				return err
			}
			report := doctor.Examine(gather(path, config))
			if asJSON {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				encoder.SetEscapeHTML(false)
				err = encoder.Encode(report)
			} else {
				err = report.Print(cmd.OutOrStdout())
			}
			if err != nil {
				return runError{err}
			}
			if report.Fails {
				return runError{errors.New("FTP would fail, see the findings")}
			}
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func gather(path string, c *configs.Config) *doctor.Facts {
	frame := frameOf(c, nat.HasIPv6())
	f := doctor.Gather(path, c, frame, foresee(c, frame))
	r := theRunner()
	f.Runner, f.Stranger, f.Files = r.user+", "+r.why, !r.sure(), r.troubles(filesOf(c))
	f.Hidden = r.as(seesLegacy)
	return f
}

// foresee tells which backend the gateway would take, and whether that would do.
func foresee(c *configs.Config, f firewall.Frame) doctor.Backend {
	if !doctor.Privileged() {
		return doctor.Backend{Name: c.Firewall.Backend, Err: doctor.ErrUnprivileged}
	}
	name, reason, unfit := preferred(c, f)
	b := doctor.Backend{Name: name, Reason: reason}
	if name == configs.BackendNFTables {
		if c.Firewall.Backend == configs.BackendNFTables {
			b.Err = nftables.Probe(f)
		}
		return b
	}
	if errors.Is(unfit, nftables.ErrOwned) {
		b.Err = unfit
	}
	held, err := iptables.New(iptables.Options{Variant: iptables.Variant(c.Firewall.IPTables)})
	if err != nil {
		b.Err = errors.Join(unfit, err)
		return b
	}
	variant := held.Choice().Variant
	b.Program = "iptables-" + string(variant)
	b.Reason += "; variant " + string(variant) + ": " + held.Choice().Reason
	return b
}
