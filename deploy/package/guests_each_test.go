//go:build deploy

package packages

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/guests"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// ufwTranslates is what the administrator of a NAT router adds to ufw's before.rules, flushed first as `ufw reload` would else
// add it again.
const ufwTranslates = `printf '*nat\n:POSTROUTING ACCEPT [0:0]\n-F POSTROUTING\n-A POSTROUTING -s %s -o wan0 -j MASQUERADE\nCOMMIT\n' >>/etc/ufw/%s`

// TestBesideUfw: denied incoming and routed, with the usual exceptions.
func TestBesideUfw(t *testing.T) {
	beside(t, guest{
		setUp: []string{
			fmt.Sprintf(ufwTranslates, "192.168.50.0/24", "before.rules"), fmt.Sprintf(ufwTranslates, "fd50::/64", "before6.rules"),
			"ufw default deny incoming; ufw default deny routed; ufw default allow outgoing",
			"ufw limit 22/tcp; ufw allow in on lan0 to any port 53; ufw route allow in on lan0 out on wan0 to any port 80,443 proto tcp",
			"ufw logging medium; ufw --force enable",
		},
		reloads:  []string{"ufw reload", "ufw --force disable && ufw --force enable", "ufw deny 9999/tcp && ufw delete deny 9999/tcp"},
		backends: []string{"auto", "iptables"},
		owner:    "owner-ufw",
		ills:     []ill{{name: "outgoing denied", wrong: "ufw default deny outgoing", id: "drop-output", cure: "ufw allow out 21", after: "ufw reload"}},
	})
}

// firewalldSetUp: the LAN may look at web pages; all else is rejected.
func firewalldSetUp(backend string) []string {
	return []string{
		"sed -i 's/^FirewallBackend=.*/FirewallBackend=" + backend + "/' /etc/firewalld/firewalld.conf",
		"systemctl start firewalld && firewall-cmd --state",
		"firewall-cmd --permanent --zone=internal --add-interface=lan0 && firewall-cmd --permanent --zone=external --add-interface=wan0",
		"firewall-cmd --permanent --zone=external --add-rich-rule='rule family=ipv6 masquerade'",
		"firewall-cmd --permanent --new-policy=web && firewall-cmd --permanent --policy=web --add-ingress-zone=internal && " +
			"firewall-cmd --permanent --policy=web --add-egress-zone=external && firewall-cmd --permanent --policy=web --set-target=REJECT && " +
			"firewall-cmd --permanent --policy=web --add-service=http",
		"firewall-cmd --reload",
	}
}

// The service has started when it has a name at the bus, before it has rules.
var firewalldReloads = []string{"firewall-cmd --reload", "firewall-cmd --complete-reload", "systemctl restart firewalld && firewall-cmd --state"}

// firewalldIlls are what closes the host's own OUTPUT.
var firewalldIlls = []ill{{
	name: "what the host sends is rejected",
	wrong: "firewall-cmd --permanent --new-policy=silent && firewall-cmd --permanent --policy=silent --add-ingress-zone=HOST && " +
		"firewall-cmd --permanent --policy=silent --add-egress-zone=ANY && firewall-cmd --permanent --policy=silent --set-target=REJECT && " +
		"firewall-cmd --reload",
	id: "drop-output", cure: "--policy=ftpgate", after: "systemctl restart firewalld && firewall-cmd --state",
}}

func TestBesideFirewalld(t *testing.T) {
	beside(t, guest{
		setUp:    firewalldSetUp("nftables"),
		reloads:  firewalldReloads,
		backends: []string{"auto"},
		owner:    "owner-firewalld",
		ills:     append(firewalldIlls, ill{name: "panic", wrong: "firewall-cmd --panic-on", id: "drop-", cure: "firewall-cmd --panic-off", after: "firewall-cmd --reload"}),
	})
}

func TestBesideFirewalldOnIPTables(t *testing.T) {
	beside(t, guest{
		setUp:   firewalldSetUp("iptables"),
		reloads: firewalldReloads,
		// With backend iptables all translations would be firewalld's to flush, those of running transfers as well.
		backends: []string{"auto"},
		owner:    "owner-firewalld",
		ills:     firewalldIlls,
	})
}

// masquerades is the router beside Docker and libvirt, which leave it to its administrator.
const masquerades = "iptables -t nat -A POSTROUTING -s 192.168.50.0/24 -o wan0 -j MASQUERADE; " +
	"ip6tables -t nat -A POSTROUTING -s fd50::/64 -o wan0 -j MASQUERADE; " +
	"for p in iptables ip6tables; do $p -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; $p -P FORWARD DROP; done"

// container is one of Docker's, published is its FTP server as clients outside see it.
var (
	container = netip.MustParseAddr("172.17.0.2")
	published = netip.MustParseAddrPort("203.0.113.1:2121")
)

func TestBesideDocker(t *testing.T) {
	for version, ills := range map[string][]ill{
		"docker": nil,
		// The way to keep people outside from containers that its documentation shows.
		"docker28": {{name: "DOCKER-USER drops", wrong: "iptables -I DOCKER-USER -i wan0 -m conntrack --ctstate NEW -j DROP\n" + guests.Script("docker28"), id: "drop-forward", cure: "-I DOCKER-USER ", after: guests.Script("docker28")}},
	} {
		t.Run(version, func(t *testing.T) {
			beside(t, guest{
				setUp:    []string{masquerades, guests.Script(version), "sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0"},
				wire:     (*gateway).contain,
				reloads:  []string{guests.Script(version)},
				backends: []string{"auto", "iptables"},
				lan:      ", docker0",
				rules:    "  - {name: contained, direction: inbound, ports: [2121], server: \"172.17.0.2:21\"}\n",
				also:     (*gateway).serves,
				owner:    "owner-docker",
				ills:     ills,
			})
		})
	}
}

// contain makes a container of a host that is not needed else.
func (g *gateway) contain() {
	g.t.Helper()
	if err := g.Unplug(lab.Third, lab.HostInterface); err != nil {
		g.t.Fatal(err)
	}
	for _, wire := range []struct{ host, command string }{
		{lab.Router, "ip link add veth0 type veth peer name eth1 netns " + g.Host(lab.Third).Namespace + " && ip link set veth0 master docker0 up"},
		{lab.Third, "ip link set eth1 up; ip address add 172.17.0.2/16 dev eth1; ip route add default via 172.17.0.1"},
	} {
		if _, err := g.Host(wire.host).Run(g.t.Context(), "sh", "-ec", wire.command); err != nil {
			g.t.Fatal(err)
		}
	}
	s, err := peers.Vsftpd().Start(g.t.Context(), g.Host(lab.Third), peers.ServerOptions{Addresses: []netip.Addr{container}, Passive: serverPorts})
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { s.Stop() })
	g.servers[lab.Third] = s
}

// serves: the container's published port, which Docker translates, and its FTP server through the gateway.
func (g *gateway) serves(t *testing.T) {
	listener, err := g.Host(lab.Third).Listen(t.Context(), netip.AddrPortFrom(container, 80))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := g.Host(lab.Outside).Dial(t.Context(), netip.MustParseAddrPort("203.0.113.1:8080"))
	if err != nil {
		t.Fatalf("Docker's published port: %v", err)
	}
	conn.Close()
	c := g.login(lab.Outside, "", published.String())
	for _, mode := range dialogue.Modes(false) {
		g.roundTrip(c, mode, lab.Third)
	}
}

func TestBesideLibvirt(t *testing.T) {
	for _, version := range []string{"libvirt", "libvirt-nft"} {
		t.Run(version, func(t *testing.T) {
			beside(t, guest{
				setUp:    []string{masquerades, guests.Script(version)},
				reloads:  []string{guests.Script(version)},
				backends: []string{"auto", "iptables"},
				owner:    "owner-libvirt",
			})
		})
	}
}

// TestBesideNftables: /etc/nftables.conf, whose reload flushes all rules, everybody's.
func TestBesideNftables(t *testing.T) {
	beside(t, guest{
		setUp:    []string{"cat >/etc/nftables.conf <<'END'\n" + guests.Ruleset("handmade") + "END\n", "systemctl start nftables"},
		reloads:  []string{"systemctl reload nftables"},
		backends: []string{"auto"},
	})
}
