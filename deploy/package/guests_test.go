//go:build deploy

package packages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/cmd/ftpgate/doctor"
	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// A guest's test: the other program is set up as its administrator does, and closes the router; ftpgate is installed beside it,
// serves all flows, outlives the program's reloads, and leaves it as it was.

// guest is another program that writes rules.
type guest struct {
	setUp    []string // for sh in the container
	wire     func(*gateway)
	reloads  []string
	backends []string
	lan      string // interfaces beside lan0, each after a comma
	rules    string // further ones, each a line
	also     func(*gateway, *testing.T)
	owner    string // doctor's finding; "": none
	ills     []ill
}

// ill is how the program really stops FTP.
type ill struct {
	name  string
	wrong string // for sh
	id    string // of each finding, or how it begins
	cure  string // what each cure has in it
	after string // a reload that the cure outlives
}

// withoutRules is a router that has addresses and forwards: the guest makes a firewall of it.
var withoutRules = lab.Options{Bare: true}

const forwards = "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.forwarding=1"

func beside(t *testing.T, is guest) {
	g := newGateway(t, withoutRules)
	g.does(append([]string{forwards}, is.setUp...)...)
	if is.wire != nil {
		is.wire(g)
	}
	g.does(is.reloads...) // what they change by themselves is not ours
	g.closed(t)
	before := g.state()
	g.install(g.old)
	g.step(t, "setup", g.isSetUpBeside)
	for _, backend := range is.backends {
		g.step(t, "backend "+backend, func(t *testing.T) {
			g.configureBeside(is, backend)
			g.step(t, "doctor before the start", func(t *testing.T) { g.well(t, is) })
			g.must("systemctl", "restart", "ftpgate.service")
			g.ready()
			g.step(t, "all flows", g.transferInAllFlows)
			g.step(t, "doctor", func(t *testing.T) { g.well(t, is) })
			for _, reload := range is.reloads {
				g.step(t, reload, func(t *testing.T) { g.outlives(t, reload, backend) })
			}
			g.step(t, "doctor after the reloads", func(t *testing.T) { g.well(t, is) })
			if is.also != nil {
				is.also(g, t)
			}
			g.closed(t)
			g.must("systemctl", "stop", "ftpgate.service")
			g.unchanged(t, before)
		})
	}
	g.must("systemctl", "start", "ftpgate.service")
	g.ready()
	g.step(t, "upgrade", g.isUpgraded)
	for _, i := range is.ills {
		g.step(t, i.name, func(t *testing.T) { g.isCured(t, i) })
	}
	g.must("systemctl", "stop", "ftpgate.service")
	if len(is.ills) > 0 {
		before = g.state() // with the cures
	}
	g.must("systemctl", "start", "ftpgate.service")
	g.ready()
	g.must("dpkg", "--purge", "ftpgate")
	g.unchanged(t, before)
	g.does(is.reloads...)
	g.unchanged(t, before)
}

// isSetUpBeside is what the README's five minutes are, where other programs may have made more interfaces.
func (g *gateway) isSetUpBeside(t *testing.T) {
	g.must("ftpgate", "setup", "--yes", "--lan", "lan0", "--wan", "wan0", "--publish", "192.168.50.20")
	g.ready()
	g.roundTrip(g.login(lab.Client, "", "203.0.113.20:21"), dialogue.PASV, lab.Outside)
	g.roundTrip(g.login(lab.Outside, "", "203.0.113.1:21"), dialogue.PASV, lab.Server)
	g.must("systemctl", "stop", "ftpgate.service")
}

// configureBeside writes the configuration.
func (g *gateway) configureBeside(is guest, backend string) {
	g.t.Helper()
	text := fmt.Sprintf(configuration, "firewall: {backend: "+backend+"}")
	g.write("etc/ftpgate/ftpgate.yaml", strings.Replace(text, "lan: [lan0]", "lan: [lan0"+is.lan+"]", 1)+is.rules)
	g.must("ftpgate", "check")
}

// unchanged compares chain by chain: in which order the guest has made its own anew, while some had a rule of ours, shows in
// the kernel's list.
func (g *gateway) unchanged(t *testing.T, before string) {
	t.Helper()
	if changed := differences(byChain(before), byChain(g.state())); changed != nil {
		t.Errorf("rules, routes or settings are not as they were before the installation:\n%s", strings.Join(changed, "\n"))
	}
}

// byChain divides a state into its chains, sets and what else there is, each with its lines in order.
func byChain(state string) map[string]string {
	all := map[string]string{}
	var command, table, block string
	for line := range strings.Lines(state) {
		line = strings.TrimSuffix(line, "\n")
		words := strings.Fields(line + " -")
		switch {
		case strings.HasPrefix(line, "# "):
			command, table, block = line, "", ""
		case strings.HasPrefix(line, "*"), strings.HasPrefix(line, "table "):
			table, block = line, ""
		case strings.HasPrefix(line, ":"):
			block = strings.TrimPrefix(words[0], ":")
		case words[0] == "-A":
			block = words[1]
		case strings.HasPrefix(line, "\t") && !strings.HasPrefix(line, "\t\t") && strings.HasSuffix(line, "{"):
			block = line
		}
		all[command+" "+table+" "+block] += line + "\n"
	}
	return all
}

// does lets the administrator work.
func (g *gateway) does(commands ...string) {
	g.t.Helper()
	for _, c := range commands {
		g.must("sh", "-ec", c)
	}
}

// step is a subtest during which helpers fail the subtest.
func (g *gateway) step(t *testing.T, name string, do func(*testing.T)) {
	if strings.HasPrefix(name, "#") {
		name = "restart" // by a script of many lines
	}
	name, _, _ = strings.Cut(name, "\n")
	t.Run(name, func(t *testing.T) {
		outer := g.t
		g.t = t
		defer func() { g.t = outer }()
		do(t)
	})
}

// closed shows that the guest's rules are in force: nobody outside reaches a port of a LAN host.
func (g *gateway) closed(t *testing.T) {
	t.Helper()
	const port = 8081
	server := g.Host(lab.Server)
	for _, address := range []netip.Addr{server.IPv4(), server.IPv6()} {
		at := netip.AddrPortFrom(address, port)
		listener, err := server.Listen(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if conn, err := g.Host(lab.Outside).Dial(ctx, at); err == nil {
			conn.Close()
			t.Errorf("%s can be reached from outside", at)
		}
		cancel()
		listener.Close()
	}
}

// doctored is doctor's report.
func (g *gateway) doctored() (report doctor.Report) {
	g.t.Helper()
	out, _ := g.command(g.t.Context(), "ftpgate", "doctor", "--json").Output()
	if err := json.Unmarshal(out, &report); err != nil {
		g.t.Fatalf("%v: %s", err, out)
	}
	return report
}

// well: doctor knows the guest and gives no alarm.
func (g *gateway) well(t *testing.T, is guest) {
	t.Helper()
	known := is.owner == ""
	report := g.doctored()
	for _, c := range report.Checks {
		for _, f := range c.Findings {
			known = known || f.ID == is.owner
			if f.Severity != doctor.Notes {
				t.Errorf("%s %s: %s", f.ID, f.Severity, f)
			} else {
				t.Logf("%s: %s", f.ID, f)
			}
		}
		if c.Unchecked != "" && !(c.Check == "packet filter" && report.Backend == "iptables") {
			t.Errorf("%s: not checked: %s", c.Check, c.Unchecked)
		}
	}
	if !known {
		t.Errorf("%s is not among the findings", is.owner)
	}
}

// outlives: sessions and transfers go on while the guest reloads, and new ones come up at once after it; with backend iptables, when
// what the reload has flushed is back.
func (g *gateway) outlives(t *testing.T, reload, backend string) {
	content := random(large)
	if err := g.servers[lab.Outside].WriteFile("large", content); err != nil {
		t.Fatal(err)
	}
	out, in := g.login(lab.Client, "", "203.0.113.20:21"), g.login(lab.Outside, "", "203.0.113.1:21")
	six := g.login(lab.Client, "2001:db8:50::10", "[2001:db8:113::20]:21")
	busy := g.login(lab.Client, "", "203.0.113.20:21")
	download, hash := g.begin(busy, dialogue.PASV, "RETR large"), sha256.New()
	if _, err := io.CopyN(hash, download, 1<<20); err != nil {
		t.Fatal(err)
	}
	g.does(reload)
	if backend == "iptables" {
		g.eventually(patience, "rules that are back", func() bool { return g.lists(t) })
	}
	g.roundTrip(out, dialogue.PASV, lab.Outside)
	g.roundTrip(in, dialogue.PASV, lab.Server)
	g.roundTrip(six, dialogue.EPRT, lab.Outside)
	g.roundTrip(out, dialogue.PORT, lab.Outside)
	g.roundTrip(g.login(lab.Outside, "", "203.0.113.1:21"), dialogue.EPSV, lab.Server)
	if _, err := io.Copy(hash, download); err != nil {
		t.Errorf("the download: %v", err)
	}
	if want := sha256.Sum256(content); !bytes.Equal(hash.Sum(nil), want[:]) {
		t.Error("the download has other bytes than the file")
	}
}

// isCured: doctor finds what stops FTP, and its cure ends it, also after a reload.
func (g *gateway) isCured(t *testing.T, i ill) {
	g.does(i.wrong)
	if g.lists(t) {
		t.Error("FTP works all the same")
	}
	var cures []string
	g.eventually(patience, i.id+" as all that fails, cured by "+i.cure, func() bool { // what a reload took of ours comes back meanwhile
		cures = nil
		others := false
		for _, c := range g.doctored().Checks {
			for _, f := range c.Findings {
				if f.Severity != doctor.Fails {
					continue
				}
				others = others || !strings.HasPrefix(f.ID, i.id) || !strings.Contains(f.Cure, i.cure)
				if t.Log(f); !slices.Contains(cures, f.Cure) {
					cures = append(cures, f.Cure)
				}
			}
		}
		return !others && len(cures) > 0
	})
	g.does(cures...)
	g.eventually(patience, "FTP after the cure", func() bool { return g.lists(t) })
	if g.doctored().Fails {
		t.Errorf("after the cure: %s", g.must("sh", "-c", "ftpgate doctor; true"))
	}
	g.does(i.after)
	g.eventually(patience, "FTP after the cure and a reload", func() bool { return g.lists(t) })
}

// lists tells whether a LAN client gets a listing from the server outside, and a client outside one from those of the LAN.
func (g *gateway) lists(t *testing.T) bool {
	ways := [][2]string{{lab.Client, "203.0.113.20:21"}, {lab.Outside, "203.0.113.1:21"}}
	if g.servers[lab.Third] != nil {
		ways = append(ways, [2]string{lab.Outside, published.String()})
	}
	for _, way := range ways {
		from, to := way[0], way[1]
		c, err := dialogue.Dial(t.Context(), g.Host(from), netip.MustParseAddrPort(to), dialogue.Options{Timeout: 4 * time.Second})
		if err != nil {
			return false
		}
		err = c.Login(peers.User, peers.Password)
		if err == nil {
			_, _, err = c.List(dialogue.PASV, "LIST")
		}
		c.Close()
		if err != nil {
			return false
		}
	}
	return true
}
