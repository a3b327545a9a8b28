package lab

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// chainCounters are the packet and byte counts in the output of iptables-save.
var chainCounters = regexp.MustCompile(`\[\d+:\d+\]`)

// expiry is what remains of a route's or an address's life, which differs from one look to the next.
var expiry = regexp.MustCompile(` expires \d+sec`)

// SaveRules returns the rules of the router for both families, as iptables-save writes them, without its dates and
// counters: two texts are equal exactly if the rules are.
func (l *Lab) SaveRules(ctx context.Context) (string, error) {
	return l.saveRules(ctx, l.options.Variant)
}

func (l *Lab) saveRules(ctx context.Context, variant Variant) (string, error) {
	var b strings.Builder
	for _, program := range []string{"iptables", "ip6tables"} {
		save := fmt.Sprintf("%s-%s-save", program, variant)
		output, err := l.Host(Router).Run(ctx, save)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "# %s\n%s", save, normalizeRules(output))
	}
	return b.String(), nil
}

// normalizeRules removes from the output of iptables-save what is not a rule.
func normalizeRules(saved string) string {
	var b strings.Builder
	for line := range strings.Lines(saved) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, ":") {
			line = strings.TrimRight(chainCounters.ReplaceAllString(line, ""), " \n") + "\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

// State describes all of the router that a program like ours may change: rules in both variants and in nftables, ip
// rules, all route tables, and the network's settings. A program that leaves no trace leaves two states equal.
func (l *Lab) State(ctx context.Context) (string, error) {
	router := l.Host(Router)
	var b strings.Builder
	for _, variant := range []Variant{NFT, Legacy} {
		rules, err := l.saveRules(ctx, variant)
		if err != nil {
			return "", err
		}
		b.WriteString(rules)
	}
	for _, command := range []string{
		"nft --stateless list ruleset",
		"ip -4 rule show",
		"ip -6 rule show",
		"ip -4 route show table all",
		"ip -6 route show table all",
		"ip -oneline address show",
	} {
		words := strings.Fields(command)
		output, err := router.Run(ctx, words[0], words[1:]...)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "# %s\n%s", command, expiry.ReplaceAllString(output, ""))
	}
	settings, err := router.sysctls()
	if err != nil {
		return "", fmt.Errorf("reading the router's settings: %w", err)
	}
	b.WriteString("# sysctl\n" + settings)
	return b.String(), nil
}

// sysctlTrees are the settings that State compares, as patterns of files below /proc/sys.
var sysctlTrees = []string{
	"net/ipv4/ip_*", "net/ipv4/tcp_*", "net/ipv4/conf/*/*",
	"net/ipv6/ip6*", "net/ipv6/conf/*/*",
	"net/netfilter/nf_conntrack_*",
}

// sysctls lists the host's settings, one "path value" per line, in the order of the paths.
func (h *Host) sysctls() (string, error) {
	var lines []string
	err := h.Do(func() error {
		for _, tree := range sysctlTrees {
			paths, err := filepath.Glob("/proc/sys/" + tree)
			if err != nil {
				return err
			}
			for _, path := range paths {
				if line, ok := readSetting(path); ok {
					lines = append(lines, line)
				}
			}
		}
		return nil
	})
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n", err
}

// readSetting reads one setting. Counters, secrets, and files that may only be written are no settings.
func readSetting(path string) (string, bool) {
	name := filepath.Base(path)
	if slices.Contains([]string{"nf_conntrack_count", "stable_secret", "tcp_fastopen_key"}, name) {
		return "", false
	}
	info, err := os.Stat(path)
	if err != nil || info.IsDir() || info.Mode().Perm()&fs.FileMode(0o444) == 0 {
		return "", false
	}
	value, err := os.ReadFile(path)
	if err != nil {
		return "", false
	}
	return strings.TrimPrefix(path, "/proc/sys/") + " " + strings.Join(strings.Fields(string(value)), " "), true
}
