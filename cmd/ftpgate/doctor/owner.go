package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// owner is a program that writes rules, known by the names of its tables and chains.
type owner struct {
	id, name string
	tables   []string // of nft
	prefixes []string // of chains of iptables; the first is the one by which it is known
	means    string
	// cure is the program's own word for what lets the packet pass, which outlives its reload; nil, "": it has none.
	cure func(met) string
}

var known = []owner{
	{id: "ufw", name: "ufw", prefixes: []string{"ufw"}, cure: ufwCure,
		means: "Its chains stand behind the gateway's lines and are written anew without them by `ufw reload`. It needs no rule for FTP, but `ufw default deny outgoing` needs `ufw allow out 21/tcp`."},
	{id: "firewalld", name: "firewalld", tables: []string{"firewalld", tablePolicyDrop}, prefixes: []string{"FWD_", "IN_", "OUT_", "FORWARD_", "INPUT_", "OUTPUT_"}, cure: firewalldCure,
		means: "`firewall-cmd --reload` takes the gateway's lines away with all rules; they are back within two seconds, and with nftables before any PASV or PORT is answered. No zone and no policy has to admit FTP. With NftablesTableOwner=yes nobody else can let anything pass."},
	{id: "docker", name: "Docker", tables: []string{"docker-bridges"}, prefixes: []string{"DOCKER"}, cure: dockerCure,
		means: "It sets the policy of FORWARD to DROP and turns forwarding on; the gateway's line in FORWARD, and one in DOCKER-USER, admit data connections all the same. A published port 21 of a container is taken over by a rule for the same port."},
	{id: "libvirt", name: "libvirt", tables: []string{"libvirt_network"}, prefixes: []string{"LIBVIRT_"},
		means: "Its chains reject what goes to its networks, and concern no others. Those of iptables come before the gateway's line if libvirt starts later: a server in a virtual machine then needs `systemctl restart ftpgate`."},
	{id: "kubernetes", name: "Kubernetes", prefixes: []string{"KUBE-"},
		means: "It marks packets in bits below ours and drops by mark; it uses conntrack marks of its own."},
	{id: "fail2ban", name: "fail2ban", tables: []string{"f2b-table"}, prefixes: []string{"f2b-"},
		means: "It refuses addresses that it has banned, which is what it is for."},
	{id: "openwrt", name: "OpenWrt (fw4)", tables: []string{"fw4"},
		means: "`fw4 reload` writes its table anew; the gateway's lines are back within two seconds, and before any PASV or PORT is answered."},
}

// tablePolicyDrop is where firewalld drops all, in panic and while it starts.
const tablePolicyDrop = "firewalld_policy_drop"

// wrote tells whether the program has something in a table.
func (k owner) wrote(t *table) bool {
	if t.nft() {
		return slices.Contains(k.tables, t.name)
	}
	return len(k.prefixes) > 0 && slices.ContainsFunc(t.order, func(c *chain) bool { return strings.HasPrefix(c.name, k.prefixes[0]) })
}

func (f *Facts) owns(k owner) bool { return slices.ContainsFunc(f.Ruleset.tables, k.wrote) }

// owner is the program to which the rule or policy belongs; nil: none that is known. A rule in a chain of the kernel may be the
// administrator's.
func (m met) owner() *owner {
	for i, k := range known {
		if k.wrote(m.chain.table) && (m.rule == nil || m.chain.nft() || slices.ContainsFunc(k.prefixes, func(p string) bool { return strings.HasPrefix(m.chain.name, p) })) {
			return &known[i]
		}
	}
	return nil
}

// ownedCure is for firewalld, the one that is known to own its table.
const ownedCure = "sed -i 's/^NftablesTableOwner=.*/NftablesTableOwner=no/' /etc/firewalld/firewalld.conf && systemctl restart firewalld"

// ufwCure knows OUTPUT alone: elsewhere the gateway's lines come first, and ufw accepts what is established.
func ufwCure(m met) string {
	if m.root.hook != hookOutput || m.packet.dport.first != m.packet.dport.last {
		return ""
	}
	return fmt.Sprintf("ufw allow out %d/tcp", m.packet.dport.first)
}

// firewalldCure is a policy of its own for what the host sends, since zones do not concern that.
func firewalldCure(m met) string {
	switch {
	case m.root.owned:
		return ownedCure
	case m.root.table.name == tablePolicyDrop:
		return "firewall-cmd --panic-off"
	case m.root.hook != hookOutput || m.packet.dport.first != m.packet.dport.last:
		return ""
	}
	const policy = "firewall-cmd --permanent --policy=ftpgate"
	return "{ firewall-cmd --permanent --info-policy=ftpgate >/dev/null 2>&1 || firewall-cmd --permanent --new-policy=ftpgate; } && " +
		policy + " --set-priority=-1000 && " + policy + " --add-ingress-zone=HOST && " + policy + " --add-egress-zone=ANY && " +
		policy + fmt.Sprintf(" --add-port=%d/tcp && firewall-cmd --reload", m.packet.dport.first)
}

// dockerCure is in the chain that Docker leaves to others, and keeps before its own.
func dockerCure(m met) string {
	if m.root.hook != hookForward || m.chain.chains["DOCKER-USER"] == nil {
		return ""
	}
	return m.chain.chains["DOCKER-USER"].accept(m.packet.ipt, m.packet.nft)
}
