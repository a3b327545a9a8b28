package lab

import (
	"context"
	"fmt"
	"strings"
)

// loadRules puts the router's rules in place, for both families, with the chosen variant.
func (l *Lab) loadRules(ctx context.Context) error {
	router := l.hosts[Router]
	for program, six := range map[string]bool{"iptables": false, "ip6tables": true} {
		ctx, cancel := context.WithTimeout(ctx, setupTimeout)
		defer cancel()
		cmd := router.Command(ctx, fmt.Sprintf("%s-%s-restore", program, l.options.Variant), "--wait", "10")
		rules := routerRules(l.options, six)
		cmd.Stdin = strings.NewReader(rules)
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("loading the router's %s rules: %w: %s\n%s", program, err, output, rules)
		}
	}
	return nil
}

// routerRules is the router as its administrator has set it up, as input of iptables-restore or ip6tables-restore.
func routerRules(o Options, six bool) string {
	var b strings.Builder
	table := func(name string, lines ...string) {
		fmt.Fprintf(&b, "*%s\n%s\nCOMMIT\n", name, strings.Join(lines, "\n"))
	}
	if !o.NoUserRules {
		table("raw", userRaw(six)...)
		table("mangle", userMangle()...)
	}
	table("nat", natRules(o, six)...)
	table("filter", filterRules(o, six)...)
	return b.String()
}

func natRules(o Options, six bool) []string {
	rules := []string{":PREROUTING ACCEPT", ":INPUT ACCEPT", ":OUTPUT ACCEPT", ":POSTROUTING ACCEPT"}
	network, web := LANNetwork, "192.168.50.20:80"
	if six {
		network, web = LANUniqueLocal, "[fd50::20]:80"
	}
	if !o.NoUserRules {
		rules = append(rules, ":USER-PUBLISH -",
			"-A PREROUTING -i wan0 -m comment --comment \"published by the user\" -j USER-PUBLISH",
			"-A USER-PUBLISH -p tcp -m tcp --dport 8080 -j DNAT --to-destination "+web)
	}
	if !o.NoMasquerade {
		rules = append(rules, "-A POSTROUTING -s "+network+" -o wan0 -j MASQUERADE")
	}
	return rules
}

func filterRules(o Options, six bool) []string {
	policy := "DROP"
	if o.Filter == FilterOpen {
		policy = "ACCEPT"
	}
	rules := []string{":INPUT " + policy, ":FORWARD " + policy, ":OUTPUT ACCEPT"}
	if !o.NoUserRules {
		rules = append(rules, ":USER-WEB -")
	}
	rules = append(rules, "-A INPUT -i lo -j ACCEPT")
	if six {
		rules = append(rules, "-A INPUT -p ipv6-icmp -j ACCEPT") // without neighbour discovery IPv6 ends at the cable
	}
	if o.Filter == FilterStateful {
		rules = append(rules,
			"-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
			"-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
	}
	if !o.NoUserRules {
		rules = append(rules,
			"-A INPUT -i lan0 -p tcp -m tcp --dport 22 -m comment --comment \"the user's own \\\"ssh\\\"\" -j ACCEPT",
			"-A FORWARD -p tcp -m tcp --dport 80 -j USER-WEB",
			"-A USER-WEB -i wan0 -o lan0 -m conntrack --ctstate NEW -j ACCEPT")
	}
	return rules
}

func userRaw(six bool) []string {
	bogus := "198.51.100.0/24"
	if six {
		bogus = "2001:db8:bad::/48"
	}
	return []string{
		":PREROUTING ACCEPT", ":OUTPUT ACCEPT",
		"-A PREROUTING -s " + bogus + " -i wan0 -j DROP",
	}
}

func userMangle() []string {
	return []string{
		":PREROUTING ACCEPT", ":INPUT ACCEPT", ":FORWARD ACCEPT", ":OUTPUT ACCEPT", ":POSTROUTING ACCEPT",
		":USER-VOICE -",
		"-A PREROUTING -i lan0 -p udp -m udp --dport 5060 -j USER-VOICE",
		"-A FORWARD -o wan0 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
		"-A USER-VOICE -j MARK --set-xmark 0x1/0xff",
	}
}
