package configs

import (
	"strings"
	"testing"
)

// ruleList makes a file of rules, each on one line; the first is line 3.
func ruleList(rules ...string) string {
	return top + "rules:\n  - {" + strings.Join(rules, "}\n  - {") + "}\n"
}

func TestServer(t *testing.T) {
	const cure = `; write the server's address and port, in quotes: "192.168.50.20:21" or "[2001:db8::20]:21"`
	server := func(text string) string { return ruleList("name: a, direction: inbound, server: " + text) }
	checkFindings(t, []findingCase{
		{"port", server("192.168.50.20:2121"), nil},
		{"no port", server("192.168.50.20"), nil},
		{"IPv6 and port", server(`"[2001:db8::20]:2121"`), nil},
		{"IPv6 in brackets", server(`"[2001:db8::20]"`), nil},
		{"IPv6", server("2001:db8::20"), nil},
		{"both families", server(`["192.168.50.20:21", "[2001:db8::20]:21"]`), nil},
		{"IPv6 that probably has a port", server(`"2001:db8::20:21"`), []string{
			`warning: f.yaml:3: rules[0].server: "2001:db8::20:21": read as an IPv6 address that ends in :21; if 21 is the port, write "[2001:db8::20]:21"`}},
		{"two of one family", server("[192.168.50.20, 192.168.50.21]"), []string{
			`f.yaml:3: rules[0].server[1]: "192.168.50.21": a second server of the same address family; keep one for IPv4 and one for IPv6; write another rule for another server`}},
		{"empty list", server("[]"), []string{
			"f.yaml:3: rules[0].server: an empty list; write the server's address and port, such as 192.168.50.20:21"}},
		{"name", server("ftp.example.com:21"), []string{`f.yaml:3: rules[0].server: "ftp.example.com:21": not an address` + cure}},
		{"port 0", server("192.168.50.20:0"), []string{
			`f.yaml:3: rules[0].server: "192.168.50.20:0": "0" is not a port; write a number from 1 to 65535 after the colon`}},
		{"empty port", server(`"192.168.50.20:"`), []string{
			`f.yaml:3: rules[0].server: "192.168.50.20:": "" is not a port; write a number from 1 to 65535 after the colon`}},
		{"open bracket", server(`"[2001:db8::20"`), []string{`f.yaml:3: rules[0].server: "[2001:db8::20": not an address` + cure}},
		{"unspecified", server(`"0.0.0.0:21"`), []string{`f.yaml:3: rules[0].server: "0.0.0.0:21": the unspecified address belongs to nobody` + cure}},
		{"loopback", server(`"::1"`), []string{`f.yaml:3: rules[0].server: "::1": a loopback address does not leave this host` + cure}},
		{"multicast", server("224.0.0.1"), []string{`f.yaml:3: rules[0].server: "224.0.0.1": not the address of one host` + cure}},
		{"broadcast", server("255.255.255.255"), []string{`f.yaml:3: rules[0].server: "255.255.255.255": not the address of one host` + cure}},
		{"link-local", server(`"fe80::1"`), []string{`f.yaml:3: rules[0].server: "fe80::1": a link-local address does not leave its link` + cure}},
		{"mapping", ruleList("name: a, direction: inbound, server: {address: 192.168.50.20}"), []string{
			"f.yaml:3: rules[0].server: not a list; write the values in brackets: [one, another]"}},
		{"outbound", ruleList("name: a, direction: outbound, server: 192.168.50.20"), []string{
			`f.yaml:3: rules[0].server: "192.168.50.20": only an inbound rule has a server: outbound the client dials it; remove it, or write direction: inbound`}},
	})
}

func TestWhereARuleLeads(t *testing.T) {
	const missing = "f.yaml:3: rules[0].server: missing; write the server's address and port, or servers: [the networks] if clients dial the server's own address"
	checkFindings(t, []findingCase{
		{"routed", ruleList("name: a, direction: inbound, servers: [192.0.2.0/24]"), nil},
		{"no server", ruleList("name: a, direction: inbound"), []string{missing}},
		{"no server and any", ruleList("name: a, direction: inbound, servers: [any]"), []string{missing}},
		{"a whole family", ruleList("name: a, direction: inbound, servers: [0.0.0.0/0], server: 192.168.50.20"), []string{
			"f.yaml:3: rules[0].servers: a whole address family is not what an inbound rule can be dialled by; write any for every address of this router, or name networks"}},
		{"a whole family outbound", ruleList("name: a, direction: outbound, servers: [0.0.0.0/0]"), nil},
		{"two families", ruleList(`name: a, direction: outbound, clients: [10.0.0.0/8], servers: ["2001:db8::/32"]`), []string{
			"f.yaml:3: rules[0]: no connection can match: clients and servers are of different address families; give both networks of one family"}},
		{"a server of another family", ruleList(`name: a, direction: inbound, clients: [10.0.0.0/8], server: "2001:db8::20"`), []string{
			"f.yaml:3: rules[0]: no connection can match: the server is of another address family than clients and servers; give all of them addresses of one family"}},
		{"one server too many", ruleList(`name: a, direction: inbound, clients: [10.0.0.0/8], server: [192.168.50.20, "2001:db8::20"]`), []string{
			"warning: f.yaml:3: rules[0].server: [2001:db8::20]:21 is never used: clients and servers hold no address of its family; remove it, or add networks of its family"}},
	})
}

func TestTLSDefault(t *testing.T) {
	for restriction, want := range map[string]TLSClient{
		"limits: {sessions: 1}":                        TLSPassthrough,
		"data: {modes: [passive, active]}":             TLSPassthrough,
		"commands: {preset: full, deny: []}":           TLSPassthrough,
		"commands: {preset: read_only}":                TLSRefuse,
		"commands: {deny: [SITE]}":                     TLSRefuse,
		"users: {allow: [bob]}":                        TLSRefuse,
		"users: {deny: [root]}":                        TLSRefuse,
		"data: {modes: [passive]}":                     TLSRefuse,
		"users: {deny: [a]}, tls: {}":                  TLSRefuse,
		"users: {deny: [a]}, tls: {client: refuse}":    TLSRefuse,
		"limits: {sessions: 1}, tls: {client: refuse}": TLSRefuse,
	} {
		text := ruleList("name: a, direction: outbound, " + restriction)
		config, warnings, err := Parse("f.yaml", []byte(text))
		if err != nil || len(warnings) > 0 || config.Rules[0].TLS.Client != want {
			t.Errorf("%s: %v %v, want %s", restriction, err, warnings, want)
			continue
		}
		checkRoundTrip(t, config)
	}
	checkFindings(t, []findingCase{{
		"stated", ruleList("name: a, direction: outbound, commands: {preset: read_only, deny: [SITE]}, users: {allow: [a], deny: [b]}, data: {modes: [active]}, tls: {client: passthrough}"),
		[]string{`warning: f.yaml:3: rules[0].tls.client: "passthrough": behind TLS the rule's commands.preset, commands.deny, users.allow, users.deny, data.modes cannot be enforced: after AUTH the commands are encrypted; write refuse, or accept it`},
	}})
}

func TestPreserveDefault(t *testing.T) {
	config, _, err := Parse("f.yaml", []byte(ruleList("name: a, direction: outbound",
		"name: b, direction: inbound, server: 192.168.50.20",
		"name: c, direction: outbound, ports: [2100], preserve_client_address: true",
		"name: d, direction: inbound, ports: [2100], server: 192.168.50.20, preserve_client_address: false")))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true, true, false} {
		if config.Rules[i].PreserveClientAddress != want {
			t.Errorf("rules[%d]: %v", i, !want)
		}
	}
}

func TestOrderOfRules(t *testing.T) {
	never := func(earlier string) []string {
		return []string{`warning: f.yaml:4: rules[1].name: "b": never reached: rules[0] ` + earlier + ` matches all that it would; put it before that rule, or remove it`}
	}
	checkFindings(t, []findingCase{
		{"same name", ruleList("name: a, direction: outbound, ports: [2100]", "name: a, direction: outbound"), []string{
			`f.yaml:4: rules[1].name: "a": rules[0] has this name; choose another`}},
		{"covered", ruleList("name: a, direction: outbound", "name: b, direction: outbound, clients: [10.0.0.0/8]"), never(`"a"`)},
		{"covered in all three", ruleList("name: a, direction: outbound, clients: [10.0.0.0/8], servers: [192.0.2.0/24], ports: [21, 2100]",
			"name: b, direction: outbound, clients: [10.1.0.0/16, 10.2.0.1], servers: [192.0.2.7], ports: [2100]"), never(`"a"`)},
		{"other direction", ruleList("name: a, direction: outbound", "name: b, direction: inbound, server: 192.168.50.20"), nil},
		{"wider clients", ruleList("name: a, direction: outbound, clients: [10.0.0.0/8]", "name: b, direction: outbound"), nil},
		{"wider servers", ruleList("name: a, direction: outbound, servers: [192.0.2.0/24]", "name: b, direction: outbound"), nil},
		{"another port", ruleList("name: a, direction: outbound", "name: b, direction: outbound, ports: [21, 2100]"), nil},
		{"published twice", ruleList("name: a, direction: inbound, server: 192.168.50.20", "name: b, direction: inbound, server: 192.168.50.21"), never(`"a"`)},
		{"published for each family", ruleList("name: a, direction: inbound, server: 192.168.50.20", `name: b, direction: inbound, server: "2001:db8::20"`), nil},
		{"published, then routed", ruleList("name: a, direction: inbound, server: 192.168.50.20", "name: b, direction: inbound, servers: [192.0.2.0/24]"), nil},
		{"published at an address that was routed", ruleList("name: a, direction: inbound, servers: [192.0.2.0/24]",
			"name: b, direction: inbound, servers: [192.0.2.7], server: 192.168.50.20"), nil},
	})
}
