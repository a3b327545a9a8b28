//go:build kernel

package nftables_test

import (
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/firewall/firewalltest"
	"github.com/ftpgate/ftpgate/firewall/nftables"
)

func TestContract(t *testing.T) {
	for _, host := range []string{"iptables-nft", "iptables-legacy", "nft"} {
		t.Run(host, func(t *testing.T) {
			firewalltest.Run(t, firewalltest.Config{
				Backend: func() (firewall.Backend, error) { return nftables.New() },
				Host:    host,
				Damages: damages,
			})
		})
	}
}

// damages are what can be done to our table.
func damages(four bool) (commands []string) {
	family, a, b := "ip6", "2001:db8::1", "2001:db8::2"
	if four {
		family, a, b = "ip", "192.0.2.1", "192.0.2.2"
	}
	for _, command := range []string{
		"delete table F ftpgate",
		"flush table F ftpgate",
		"flush chain F ftpgate data",
		"insert rule F ftpgate control counter drop",
		"add chain F ftpgate more { type filter hook forward priority 0; policy drop; }",
		"flush set F ftpgate open",
		"flush map F ftpgate targets",
		"add table F ftpgate { flags dormant; }",
		`add element F ftpgate open { "lan0" . A . B . 4321 timeout 1h }`,
		"add element F ftpgate sources { A . B . 4321 : B }",
	} {
		command = strings.NewReplacer(" F ", " "+family+" ", "A", a, "B", b).Replace(command)
		commands = append(commands, "nft '"+command+"'")
	}
	return commands
}
