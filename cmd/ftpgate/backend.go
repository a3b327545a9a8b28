package main

import (
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/ftpgate/ftpgate/configs"
	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/firewall/iptables"
	"github.com/ftpgate/ftpgate/firewall/nftables"
)

// How many pinholes may be open at the same time. The kernel looks an element of
// nftables up, however many there are; rules of iptables it walks through, with
// each connection that begins.
const (
	mostElements = 65536
	mostRules    = 8192
)

// choice is the packet filter that holds the pinholes, and why.
type choice struct {
	backend firewall.Backend
	most    int // pinholes
	reason  string
	warning string // "": all is well; else what the administrator should look at
}

// preferred is the backend that the configuration asks for, or with auto the one
// that suits kernel and host. unfit is why auto does not take nftables. It
// changes nothing.
func preferred(c *configs.Config, f firewall.Frame) (backend configs.Backend, reason string, unfit error) {
	switch {
	case c.Firewall.Backend == configs.BackendIPTables:
		return configs.BackendIPTables, "the configuration says so", nil
	case c.Firewall.Backend == configs.BackendNFTables:
		return configs.BackendNFTables, "the configuration says so", nil
	case c.Firewall.IPTables != configs.IPTablesAuto:
		return configs.BackendIPTables, "the configuration names a variant of iptables", nil
	}
	if err := nftables.Probe(f); err != nil {
		return configs.BackendIPTables, "nftables does not do here: " + err.Error(), err
	}
	return configs.BackendNFTables, "the kernel takes all that its rules need, and every table of the host that may drop a packet can be written", nil
}

// choose prepares the preferred backend. It changes nothing but what an earlier
// run with the other backend has left.
func choose(c *configs.Config, f firewall.Frame) (choice, error) {
	backend, reason, unfit := preferred(c, f)
	if backend == configs.BackendNFTables {
		return chooseNFTables(reason)
	}
	chosen, err := chooseIPTables(c, reason)
	if err != nil && unfit != nil {
		return choice{}, fmt.Errorf("no packet filter does here: nftables: %w; iptables: %w", unfit, err)
	}
	if errors.Is(unfit, nftables.ErrOwned) { // what we could not accept there drops our connections here as well
		chosen.warning = unfit.Error()
	}
	return chosen, err
}

func chooseNFTables(reason string) (choice, error) {
	b, err := nftables.New()
	if err != nil {
		return choice{}, err
	}
	return choice{backend: b, most: mostElements, reason: reason}, nil
}

func chooseIPTables(c *configs.Config, reason string) (choice, error) {
	b, err := iptables.New(iptables.Options{Variant: iptables.Variant(c.Firewall.IPTables)})
	if err != nil {
		return choice{}, err
	}
	// The backend sweeps up its own leftovers, not the other one's.
	if err := nftables.Clean(); err != nil {
		return choice{}, err
	}
	variant := b.Choice()
	return choice{
		backend: b,
		most:    mostRules,
		reason:  fmt.Sprintf("%s; variant %s: %s", reason, variant.Variant, variant.Reason),
		warning: variant.Warning,
	}, nil
}

// tell says what was chosen.
func (c choice) tell(log *zap.Logger) {
	log.Info("firewall backend chosen", zap.String("backend", c.backend.Name()), zap.String("why", c.reason))
	if c.warning != "" {
		log.Warn("firewall", zap.String("why", c.warning))
	}
}
