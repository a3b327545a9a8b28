//go:build kernel

package iptables_test

import (
	"testing"

	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/firewall/firewalltest"
	"github.com/ftpgate/ftpgate/firewall/iptables"
)

func TestContract(t *testing.T) {
	for _, v := range []iptables.Variant{iptables.NFT, iptables.Legacy} {
		t.Run(string(v), func(t *testing.T) {
			firewalltest.Run(t, firewalltest.Config{
				Backend: func() (firewall.Backend, error) { return iptables.New(iptables.Options{Variant: v}) },
				Host:    "iptables-" + string(v),
			})
		})
	}
}
