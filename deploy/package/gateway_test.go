//go:build deploy

package packages

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// configuration is one for the lab's router, with audit files for logrotate. %s is for more.
const configuration = `interfaces: {lan: [lan0], wan: [wan0]}
%s
audit: {transfers: /var/log/ftpgate/transfers.json, xferlog: /var/log/ftpgate/xferlog}
rules:
  - {name: routed, direction: outbound, clients: ["2001:db8:50::/64"], preserve_client_address: true}
  - {name: out, direction: outbound}
  - {name: in, direction: inbound, server: ["192.168.50.20:21", "[2001:db8:50::20]:21"]}
  - {name: guarded, direction: inbound, ports: [2100], server: "192.168.50.20:2100", users: {deny: [root]}}
`

// serverPorts keeps the servers' data ports off those of clients.
var serverPorts = peers.PortRange{First: 61001, Last: 65000}

// packages is where those of the present source are, once they have been built.
var packages string

func TestMain(m *testing.M) {
	var err error
	if packages, err = os.MkdirTemp("", "ftpgate-packages-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(packages)
	os.Exit(code)
}

// gateway is the machine with the package and the servers that its clients reach.
type gateway struct {
	*machine
	old, new string // the package in two versions: files
	servers  map[string]*peers.Server
}

func newGateway(t *testing.T, o lab.Options) *gateway {
	g := &gateway{servers: map[string]*peers.Server{}}
	for version, at := range map[string]*string{"0.9.0": &g.old, "0.9.1": &g.new} {
		*at = filepath.Join(packages, "ftpgate_"+version+"-1_"+runtime.GOARCH+".deb")
		if _, err := os.Stat(*at); err != nil {
			build(t, repository(t), packages, "v"+version, runtime.GOARCH)
		}
	}
	g.machine = newMachine(t, o)
	for _, host := range []string{lab.Outside, lab.Server} {
		s, err := peers.Vsftpd().Start(t.Context(), g.Host(host), peers.ServerOptions{Passive: serverPorts})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Stop() })
		g.servers[host] = s
	}
	return g
}

// configure writes the configuration and starts the unit, as the administrator does.
func (g *gateway) configure(more string) {
	g.t.Helper()
	g.write("etc/ftpgate/ftpgate.yaml", fmt.Sprintf(configuration, more))
	g.must("ftpgate", "check")
	g.must("systemctl", "restart", "ftpgate.service")
	g.ready()
}

func (g *gateway) ready() {
	g.t.Helper()
	g.eventually(patience, "a gateway that is ready", func() bool {
		return g.property("ActiveState") == "active" && strings.HasPrefix(g.property("StatusText"), "ready; ")
	})
}

func (g *gateway) login(from, source, target string) *dialogue.Client {
	g.t.Helper()
	var o dialogue.Options
	if source != "" {
		o.Source = netip.AddrPortFrom(netip.MustParseAddr(source), 0)
	}
	c, err := dialogue.Dial(g.t.Context(), g.Host(from), netip.MustParseAddrPort(target), o)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	if err := c.Login(peers.User, peers.Password); err != nil {
		g.t.Fatalf("%v\n%s", err, strings.Join(c.Transcript(), "\n"))
	}
	if _, err := c.Want(200, "TYPE I"); err != nil {
		g.t.Fatal(err)
	}
	return c
}

func random(size int) []byte {
	b := make([]byte, size)
	rand.Read(b)
	return b
}

// roundTrip stores a file, lists and fetches it, and compares.
func (g *gateway) roundTrip(c *dialogue.Client, mode dialogue.Mode, server string) {
	g.t.Helper()
	name, content := "f-"+string(mode), random(300_000)
	var got bytes.Buffer
	_, err := c.Store(mode, name, bytes.NewReader(content))
	if err == nil {
		if there, _ := g.servers[server].ReadFile(name); !bytes.Equal(there, content) {
			err = fmt.Errorf("the server has %d bytes of %d, or others", len(there), len(content))
		}
	}
	if err == nil {
		_, _, err = c.List(mode, "LIST")
	}
	if err == nil {
		_, err = c.Retrieve(mode, name, &got)
	}
	if err == nil && !bytes.Equal(got.Bytes(), content) {
		err = fmt.Errorf("fetched %d bytes of %d, or others", got.Len(), len(content))
	}
	if err != nil {
		g.t.Fatalf("%s: %v\n%s", mode, err, strings.Join(c.Transcript(), "\n"))
	}
}

// flows are all ways from a client to a server.
var flows = []struct{ name, client, source, dials, server string }{
	{"outbound, IPv4, translated", lab.Client, "", "203.0.113.20:21", lab.Outside},
	{"outbound, IPv6, translated (NAT66)", lab.Client, "fd50::10", "[2001:db8:113::20]:21", lab.Outside},
	{"outbound, IPv6, routed", lab.Client, "2001:db8:50::10", "[2001:db8:113::20]:21", lab.Outside},
	{"inbound, IPv4, translated", lab.Outside, "", "203.0.113.1:21", lab.Server},
	{"inbound, IPv4, routed", lab.Outside, "", "192.168.50.20:21", lab.Server},
	{"inbound, IPv6, translated", lab.Outside, "", "[2001:db8:113::1]:21", lab.Server},
	{"inbound, IPv6, routed", lab.Outside, "", "[2001:db8:50::20]:21", lab.Server},
	{"hairpin, IPv4", lab.Client, "", "203.0.113.1:21", lab.Server},
	{"hairpin, IPv6", lab.Client, "", "[2001:db8:113::1]:21", lab.Server},
}

func (g *gateway) transferInAllFlows(t *testing.T) {
	for _, f := range flows {
		c := g.login(f.client, f.source, f.dials)
		for _, mode := range dialogue.Modes(netip.MustParseAddrPort(f.dials).Addr().Is6()) {
			g.roundTrip(c, mode, f.server)
		}
		if _, err := c.Want(221, "QUIT"); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
	}
}
