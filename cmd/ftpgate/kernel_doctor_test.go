//go:build kernel

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/cmd/ftpgate/doctor"
	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/guests"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// ill is a router made wrong in one way.
type ill struct {
	name     string
	id       string
	severity doctor.Severity
	wrong    string // what makes it so, for sh
	config   string // "": the usual one
	proof    bool   // FTP of a LAN client to a server outside fails until it is cured
	cure     string // "": the one that is printed
	running  bool   // made wrong while the gateway runs
}

// ills are all that is cured by a command. IPv4 is enough where both families have the same code.
var ills = []ill{
	{name: "IPv4 not forwarded", id: "forwarding", severity: doctor.Fails, wrong: "sysctl -w net.ipv4.ip_forward=0", proof: true},
	{name: "IPv6 not forwarded", id: "forwarding", severity: doctor.Fails, wrong: "sysctl -w net.ipv6.conf.all.forwarding=0"},
	{name: "one interface does not forward", id: "forwarding", severity: doctor.Fails, wrong: "sysctl -w net.ipv4.conf.lan0.forwarding=0", proof: true},
	{name: "interface down", id: "interface-down", severity: doctor.Fails, wrong: "ip link set wan0 down", proof: true},
	{name: "interface without address", id: "interface-address", severity: doctor.Fails, wrong: "ip address flush dev wan0",
		cure: "ip address add 203.0.113.1/24 dev wan0"},
	{name: "server behind the wrong side", id: "server-route", severity: doctor.Fails, wrong: "ip route add 192.168.50.20/32 dev wan0"},
	{name: "clients behind the wrong side", id: "client-route", severity: doctor.Warns, wrong: "ip route add 10.7.0.0/16 dev wan0",
		config: fmt.Sprintf(usualRules, ", clients: [10.7.0.0/16]", "")},
	{name: "strict rp_filter with two WANs", id: "rp-filter", severity: doctor.Fails,
		wrong: "ip link add wan1 type veth peer name other && ip link set wan1 up && ip link set other up && ip address add 198.51.100.2/24 dev wan1 && " +
			"ip route add default dev wan1 && sysctl -w net.ipv4.conf.wan0.rp_filter=1",
		config: strings.Replace(plain, "wan: [wan0]", "wan: [wan0, wan1]", 1)},
	{name: "an ip rule before ours", id: "ip-rule", severity: doctor.Fails, proof: true,
		wrong: "ip rule add priority 100 lookup 200 && ip route add 203.0.113.0/24 dev wan0 table 200"},
	{name: "marks compared whole", id: "mark-compared-whole", severity: doctor.Warns,
		wrong: "iptables-nft -t mangle -A PREROUTING -m connmark ! --mark 0 -j CONNMARK --restore-mark && " +
			"ip rule add priority 1000 fwmark 1 lookup main"},
	{name: "raw drops control", id: "drop-prerouting", severity: doctor.Fails, proof: true,
		wrong: "iptables-nft -t raw -A PREROUTING -i lan0 -p tcp -m multiport --dports 20,21 -j DROP"},
	{name: "nft drops on arrival", id: "drop-prerouting", severity: doctor.Fails, proof: true,
		wrong: "nft add table inet guard && nft add chain inet guard pre '{ type filter hook prerouting priority raw; policy accept; }' && " +
			"nft add rule inet guard pre iifname '{ lan0, lan1 }' tcp dport '{ 21, 2000-2999 }' counter drop"},
	{name: "nft drops on ingress", id: "drop-ingress", severity: doctor.Fails, proof: true,
		wrong: "nft add table netdev guard && nft add chain netdev guard in '{ type filter hook ingress device lan0 priority 0; policy accept; }' && " +
			"nft add rule netdev guard in tcp dport 21 drop"},
	{name: "iptables drops output", id: "drop-output", severity: doctor.Fails, wrong: "iptables-nft -P OUTPUT DROP", proof: true},
	{name: "nft drops output", id: "drop-output", severity: doctor.Fails, proof: true,
		wrong: "nft add table inet guard && nft add chain inet guard out '{ type filter hook output priority 0; policy drop; }' && " +
			"nft add rule inet guard out oifname lo accept && nft add rule inet guard out ip6 nexthdr icmpv6 accept && " +
			"nft add rule inet guard out ct state vmap '{ established : accept, related : accept }'"},
	{name: "dropped on leaving", id: "drop-postrouting", severity: doctor.Fails, proof: true,
		wrong: "iptables-nft -t mangle -A POSTROUTING -o wan0 -m conntrack --ctstate NEW -j DROP"},
	{name: "a doubtful rule", id: "drop-output", severity: doctor.Warns,
		wrong: "iptables-nft -A OUTPUT -p tcp --syn -m limit --limit 1/hour -j REJECT"},
	{name: "some addresses are refused", id: "drop-output", severity: doctor.Notes, cure: "iptables-nft -F OUTPUT",
		wrong: "iptables-nft -A OUTPUT -d 198.18.0.0/15 -j DROP"},
	{name: "packet marks are overwritten", id: "mark-overwritten", severity: doctor.Fails, proof: true,
		wrong: "nft add table inet wans && nft add chain inet wans pre '{ type filter hook prerouting priority -115; }' && " +
			"nft add rule inet wans pre iifname lan0 meta mark set 0x1"},
	{name: "packet marks are restored", id: "mark-overwritten", severity: doctor.Fails, proof: true,
		wrong: "nft add table inet wans && nft add chain inet wans pre '{ type filter hook prerouting priority -115; }' && " +
			"nft add rule inet wans pre meta mark set ct mark"},
	{name: "connection marks are overwritten", id: "mark-overwritten", severity: doctor.Fails, proof: true,
		wrong: "iptables-nft -t mangle -A FORWARD -j CONNMARK --save-mark"},
	{name: "not tracked", id: "untracked", severity: doctor.Fails, proof: true,
		wrong: "iptables-nft -t raw -A PREROUTING -p tcp -j CT --notrack && iptables-nft -t raw -A OUTPUT -p tcp -j CT --notrack"},
	{name: "helper of iptables", id: "kernel-helper", severity: doctor.Warns,
		wrong: `iptables-nft -t raw -A PREROUTING -p tcp --dport 21 -m comment --comment "the kernel's own" -j CT --helper ftp`},
	{name: "helper of nft", id: "kernel-helper", severity: doctor.Warns,
		wrong: "nft add table ip h && nft add ct helper ip h ftp-standard '{ type \"ftp\" protocol tcp; }' && " +
			"nft add chain ip h pre '{ type filter hook prerouting priority filter; }' && nft add rule ip h pre tcp dport 21 ct helper set ftp-standard"},
	{name: "both variants", id: "iptables-both", severity: doctor.Notes, config: plain + "firewall: {backend: nftables}\n",
		wrong: "iptables-legacy -w -A INPUT -s 192.0.2.1 -j DROP"},
	{name: "the other variant drops", id: "drop-forward", severity: doctor.Fails, proof: true,
		config: plain + "firewall: {backend: iptables, iptables: nft}\n", wrong: "iptables-legacy -w -A FORWARD -p tcp -j DROP"},
	{name: "nft drops beside backend iptables", id: "drop-forward", severity: doctor.Fails, proof: true,
		config: plain + "firewall: {backend: iptables}\n",
		wrong:  "nft add table inet guard && nft add chain inet guard through '{ type filter hook forward priority 0; policy drop; }'"},
	{name: "bridge", id: "bridge-netfilter", severity: doctor.Fails, config: strings.Replace(plain, "lan0", "br0", 1), proof: true,
		wrong: "ip address flush dev lan0 && ip link add br0 type bridge && ip link set lan0 master br0 && ip link set br0 up && " +
			"ip address add 192.168.50.1/24 dev br0 && sysctl -w net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=0"},
	{name: "ephemeral ports", id: "data-ports-ephemeral", severity: doctor.Notes, wrong: "sysctl -w net.ipv4.ip_local_reserved_ports=8080"},
	{name: "Docker", id: "owner-docker", severity: doctor.Notes, wrong: "iptables-nft -N DOCKER-USER", cure: "iptables-nft -X DOCKER-USER"},
	{name: "firewalld", id: "owner-firewalld", severity: doctor.Notes, wrong: "nft add table inet firewalld", cure: "nft delete table inet firewalld"},

	{name: "libvirt starts later", id: "drop-forward", severity: doctor.Fails, running: true, config: strings.Replace(plain, "lan: [lan0]", "lan: [lan0, virbr0]", 1),
		wrong: guests.Script("libvirt") + "sysctl -w net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0"},
	{name: "drop inserted before our line in FORWARD", id: "drop-forward", severity: doctor.Fails, proof: true, running: true,
		wrong: "iptables-nft -I FORWARD -p tcp -m conntrack --ctstate NEW -j DROP"},
	{name: "drop inserted before our line in INPUT", id: "drop-input", severity: doctor.Fails, proof: true, running: true,
		wrong: "iptables-nft -I INPUT -i lan0 -p tcp --dport 21 -j REJECT"},
	{name: "accounting turned off", id: "conntrack-setting", severity: doctor.Fails, running: true,
		wrong: "sysctl -w net.netfilter.nf_conntrack_acct=0"},
}

// TestDoctor makes a router wrong in each way, before the gateway runs or while it does, and expects the finding; with
// proof that FTP then fails. The cure as it is printed must end both.
func TestDoctor(t *testing.T) {
	for _, i := range ills {
		t.Run(i.name, func(t *testing.T) {
			t.Parallel() // each has a router of its own, and most of the time waits for FTP to fail
			r := newRouter(t, lab.Options{})
			if i.proof {
				r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{})
			}
			config := i.config
			if config == "" {
				config = plain
			}
			r.write(config)
			if i.running {
				r.start(config)
			}
			r.run("sh", "-c", i.wrong)
			r.diagnosedBy(t, i)
			if i.proof && !i.running {
				r.start(config)
				r.diagnosedBy(t, i)
			}
			if i.proof && r.fetches() {
				t.Error("FTP works all the same")
			}
			r.treat(t, i)
			if i.proof {
				eventually(t, "FTP after the cure", r.fetches)
			}
			if r.daemon != nil {
				r.stop()
			}
		})
	}
}

// doctored runs doctor on the router.
func (r *router) doctored(t *testing.T) (report doctor.Report) {
	t.Helper()
	cmd := r.Host(lab.Router).Command(t.Context(), cmp.Or(r.binary, gatewayBinary), "doctor", "--json", "--config", r.config)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	out, err := cmd.Output()
	if failed := json.Unmarshal(out, &report); failed != nil {
		t.Fatalf("%v, %v: %s", err, failed, out)
	}
	if (err != nil) != report.Fails {
		t.Errorf("doctor ends with %v, and its report fails: %t", err, report.Fails)
	}
	return report
}

// found returns the findings with the id and severity.
func found(report doctor.Report, id string, s doctor.Severity) (some []doctor.Finding) {
	for _, c := range report.Checks {
		for _, f := range c.Findings {
			if f.ID == id && f.Severity == s {
				some = append(some, f)
			}
		}
	}
	return some
}

func (r *router) diagnosedBy(t *testing.T, i ill) {
	t.Helper()
	report := r.doctored(t)
	if len(found(report, i.id, i.severity)) == 0 {
		t.Fatalf("%s (%s) was not found: %s", i.id, i.severity, summary(report))
	}
	if i.severity == doctor.Fails != report.Fails {
		t.Errorf("the whole fails: %t: %s", report.Fails, summary(report))
	}
}

// treat applies the printed cures until the findings are gone; a cure may bring another one to light.
func (r *router) treat(t *testing.T, i ill) {
	t.Helper()
	const most = 8
	for range most {
		findings := found(r.doctored(t), i.id, i.severity)
		if len(findings) == 0 {
			if report := r.doctored(t); report.Fails {
				t.Errorf("the cure brought about: %s", summary(report))
			}
			return
		}
		for _, f := range findings {
			cure := f.Cure
			if i.cure != "" {
				cure = i.cure
			}
			r.run("sh", "-c", cure)
			if i.cure != "" {
				break
			}
		}
	}
	t.Fatalf("still found after %d cures: %s", most, summary(r.doctored(t)))
}

// summary is what a test prints of a report.
func summary(report doctor.Report) string {
	var b strings.Builder
	if err := report.Print(&b); err != nil {
		return err.Error()
	}
	return b.String()
}

// fetches tells whether a LAN client lists a directory of the server outside.
func (r *router) fetches() bool {
	_, err := r.Host(lab.Client).Run(r.t.Context(), "curl", "-sS", "--connect-timeout", "2", "--max-time", "4",
		"--user", peers.User+":"+peers.Password, "ftp://203.0.113.20/")
	return err == nil
}

// TestDoctorHealthy: on a router without fault doctor finds nothing above a note, whether the gateway runs or not, and says
// of each check what it saw. It changes nothing.
func TestDoctorHealthy(t *testing.T) {
	for backend, filter := range map[string]lab.Filter{"nftables": lab.FilterStateful, "iptables": lab.FilterBare} {
		eachVariant(t, lab.Options{Filter: filter}, func(t *testing.T, r *router) {
			config := plain + "firewall: {backend: " + backend + "}\n"
			healthy := func(when string) {
				t.Helper()
				before := r.state()
				report := r.doctored(t)
				if after := r.state(); after != before {
					t.Errorf("%s doctor changes the host:\n%s", when, difference(before, after))
				}
				for _, c := range report.Checks {
					if !c.Good() && !(c.Check == "packet filter" && report.Backend == "iptables") || c.Saw == "" {
						t.Errorf("%s: %+v", when, c)
					}
				}
				if report.Fails {
					t.Errorf("%s it fails", when)
				}
			}
			r.write(config)
			healthy("before the gateway runs")
			r.start(config)
			healthy("while the gateway runs")
			r.stop()
			healthy("after the gateway has run")
		})
	}
}
