package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/configs"
	"github.com/ftpgate/ftpgate/firewall"
)

func parse(t *testing.T, text string) *configs.Config {
	t.Helper()
	c, _, err := configs.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const twoSides = `
interfaces: {lan: [lan0, lan1], wan: [wan0]}
rules:
  - {name: office, direction: outbound, ports: [21, 2121]}
  - {name: public, direction: inbound, server: ["192.168.50.20:2100", "[2001:db8:50::20]:21"]}
  - {name: routed, direction: inbound, servers: ["2001:db8:99::/64"], preserve_client_address: false}
`

// What is taken over is what the rules need and nothing else: a service of the
// router on an outbound port, a host that merely lies behind us stay alone.
func TestFrame(t *testing.T) {
	f := frameOf(parse(t, twoSides), true)
	var got []string
	for _, tk := range f.Takeovers {
		where := map[firewall.Scope]string{firewall.RoutedOnly: "beyond", firewall.LocalOnly: "router", firewall.Network: tk.Network.String()}[tk.Scope]
		got = append(got, fmt.Sprintf("%s %d %s", tk.Interface, tk.Port, where))
	}
	want := []string{
		"lan0 21 beyond", "lan0 2121 beyond", "lan1 21 beyond", "lan1 2121 beyond",
		"lan0 21 router", "lan1 21 router", "wan0 21 router",
		"wan0 2100 192.168.50.20/32", "wan0 21 2001:db8:50::20/128",
		"wan0 21 2001:db8:99::/64",
	}
	if !slices.Equal(got, want) {
		t.Errorf("taken over:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if want := []uint16{21, 2121, 2100}; !slices.Equal(f.ServerPorts, want) {
		t.Errorf("server ports %v, want %v", f.ServerPorts, want)
	}
	// Only "public" preserves the client's address; its servers listen on two ports.
	if len(f.Returns) != 2*3 {
		t.Errorf("returns %v", f.Returns)
	}
	if err := f.Validate(); err != nil {
		t.Error(err)
	}
}

func TestGateway(t *testing.T) {
	lan, wan := []string{"lan0", "lan1"}, []string{"wan0"}
	for keys, want := range map[string]firewall.Gateway{
		"forwarding: false":                  {},
		"forwarding: true":                   {LAN: lan, WAN: wan, Forward: true},
		"masquerade: true":                   {LAN: lan, WAN: wan, Masquerade: true},
		"masquerade: true, forwarding: true": {LAN: lan, WAN: wan, Forward: true, Masquerade: true},
	} {
		f := frameOf(parse(t, twoSides+"firewall: {"+keys+"}\n"), true)
		if !reflect.DeepEqual(f.Gateway, want) {
			t.Errorf("%s: %+v", keys, f.Gateway)
		}
	}
}

func TestRulesCarryEverything(t *testing.T) {
	c := parse(t, `
interfaces: {lan: [lan0], wan: [wan0]}
rules:
  - name: all
    direction: inbound
    clients: [198.51.100.0/24]
    servers: [203.0.113.1]
    ports: [2021]
    server: 192.168.50.20
    preserve_client_address: false
    data: {modes: [passive], foreign_address: substitute, active_source_port_20: true}
    tls: {client: refuse}
    commands: {preset: read_only, deny: [SITE]}
    users: {allow: [a], deny: [b]}
    limits: {sessions: 1, sessions_per_client: 2, login_failures: 3}
    timeouts: {login: 1m, idle: 2m, connect: 3s, data_idle: 4m}
`)
	got := fmt.Sprintf("%+v", *rulesOf(c)[0])
	want := "{Name:all Direction:inbound Clients:[198.51.100.0/24] Servers:[203.0.113.1/32] Ports:[2021] Server:[192.168.50.20:21] " +
		"PreserveClientAddress:false Active:false Passive:true ForeignAddress:substitute ActiveSourcePort20:true TLS:refuse " +
		"Commands:{Preset:read_only Deny:[SITE]} Users:{Allow:[a] Deny:[b]} " +
		"Limits:{Sessions:1 SessionsPerClient:2 LoginFailures:3} Timeouts:{Login:1m0s Idle:2m0s Connect:3s DataIdle:4m0s}}"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
