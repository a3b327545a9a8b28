package configs

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// in puts one line below the top level of base; it is line 4.
func in(line string) string { return base + line + "\n" }

// inRule puts one line into a published rule; it is line 6.
func inRule(line string) string { return published + "    " + line + "\n" }

func TestInterfaces(t *testing.T) {
	sides := func(lan, wan string) string {
		return "interfaces:\n  lan: " + lan + "\n  wan: " + wan + "\nrules: [{name: a, direction: outbound}]\n"
	}
	const cure = "; write the name that ip link shows"
	checkFindings(t, []findingCase{
		{"good", sides("[br-lan, eth0.100, 1234567890abcde, \"0x10\", wg_0@x]", "[ppp0]"), nil},
		{"empty", sides("[]", "[eth1]"), []string{"f.yaml:2: interfaces.lan: an empty list; name at least one interface"}},
		{"not a list", sides("eth0", "[eth1]"), []string{`f.yaml:2: interfaces.lan: "eth0": not a list; write [eth0]`}},
		{"too long", sides("[abcdefghijklmnop]", "[eth1]"), []string{
			`f.yaml:2: interfaces.lan[0]: "abcdefghijklmnop": longer than the 15 bytes of an interface name` + cure}},
		{"slash", sides("[a/b]", "[eth1]"), []string{`f.yaml:2: interfaces.lan[0]: "a/b": not the name of an interface` + cure}},
		{"alias", sides("[\"eth0:1\"]", "[eth1]"), []string{`f.yaml:2: interfaces.lan[0]: "eth0:1": not the name of an interface` + cure}},
		{"blank", sides("[a b]", "[eth1]"), []string{`f.yaml:2: interfaces.lan[0]: "a b": not the name of an interface` + cure}},
		{"dots", sides("[..]", "[eth1]"), []string{`f.yaml:2: interfaces.lan[0]: "..": not the name of an interface` + cure}},
		{"hyphen", sides("[-x]", "[eth1]"), []string{`f.yaml:2: interfaces.lan[0]: "-x": not the name of an interface` + cure}},
		{"empty name", sides(`[""]`, "[eth1]"), []string{`f.yaml:2: interfaces.lan[0]: an empty text` + cure}},
		{"pattern", sides("[eth+]", "[eth1]"), []string{`f.yaml:2: interfaces.lan[0]: "eth+": an interface cannot be a pattern; name each interface`}},
		{"loopback", sides("[lo]", "[eth1]"), []string{
			`f.yaml:2: interfaces.lan[0]: "lo": the loopback interface has no other side; name the interface that leads to the network`}},
		{"list in a list", sides("[[eth0]]", "[eth1]"), []string{`f.yaml:2: interfaces.lan[0]: a list where one value is expected` + cure}},
		{"twice", sides("[eth0, eth0]", "[eth1]"), []string{`f.yaml:2: interfaces.lan[1]: "eth0": stated twice; keep one`}},
		{"both sides", sides("[eth0]", "[eth1, eth0]"), []string{
			`f.yaml:3: interfaces.wan[1]: "eth0": on both sides, interfaces.lan and interfaces.wan; keep it on one`}},
	})
}

func TestPorts(t *testing.T) {
	const notRange = "not a range of ports; write the first and the last port: 50000-51999"
	const notPort = "not a port; write a number from 1 to 65535"
	checkFindings(t, []findingCase{
		{"one port", in("data_ports: 50000-50000"), nil},
		{"whole range", in("data_ports: 2122-65535"), nil},
		{"no range", in("data_ports: 50000"), []string{`f.yaml:4: data_ports: "50000": ` + notRange}},
		{"too great", in("data_ports: 50000-65536"), []string{`f.yaml:4: data_ports: "50000-65536": ` + notRange}},
		{"blanks", in("data_ports: 50000 - 51999"), []string{`f.yaml:4: data_ports: "50000 - 51999": ` + notRange}},
		{"list", in("data_ports: [50000]"), []string{"f.yaml:4: data_ports: a list where one value is expected; write the first and the last port: 50000-51999"}},
		{"reversed", in("data_ports: 51999-50000"), []string{
			`f.yaml:4: data_ports: "51999-50000": the first port is greater than the last; write 50000-51999`}},
		{"low", in("data_ports: 1023-2000"), []string{`f.yaml:4: data_ports: "1023-2000": holds ports below 1024; begin at 1024 or above`}},
		{"holds listen_port", in("listen_port: 50010"), []string{
			`f.yaml:4: listen_port: "50010": the listen_port 50010 is among the data ports; choose one outside of 50000-51999, or move data_ports`}},
		{"holds the default listen_port", in("data_ports: 2000-3000"), []string{
			`f.yaml:4: data_ports: "2000-3000": the listen_port 2121 is among the data ports; choose one outside of 2000-3000, or move data_ports`}},
		{"holds a control port", inRule("ports: [21, 50021]"), []string{
			`f.yaml:6: rules[0].ports: the control port 50021 is among the data ports: data would be taken for commands; choose one outside of 50000-51999, or move data_ports`}},
		{"listen_port 0", in("listen_port: 0"), []string{`f.yaml:4: listen_port: "0": ` + notPort}},
		{"hexadecimal", in("listen_port: 0x849"), []string{`f.yaml:4: listen_port: "0x849": ` + notPort}},
		{"octal", in("listen_port: 02121"), []string{`f.yaml:4: listen_port: "02121": ` + notPort}},
		{"a name", in("listen_port: ftp"), []string{`f.yaml:4: listen_port: "ftp": ` + notPort}},
		{"no control port", inRule("ports: []"), []string{
			"f.yaml:6: rules[0].ports: an empty list: no connection would be taken over; write the ports as [21]"}},
		{"not a list", inRule("ports: 21"), []string{`f.yaml:6: rules[0].ports: "21": not a list; write [21]`}},
		{"twice", inRule("ports: [21, 21]"), []string{`f.yaml:6: rules[0].ports[1]: "21": stated twice; keep one`}},
		{"too great in a list", inRule("ports: [21, 65536]"), []string{`f.yaml:6: rules[0].ports[1]: "65536": ` + notPort}},
		{"a list over several lines", inRule("ports:\n    - 21\n    - x"), []string{`f.yaml:8: rules[0].ports[1]: "x": ` + notPort}},
	})
}

func TestWords(t *testing.T) {
	const later = "comes with a later version of ftpgate; "
	checkFindings(t, []findingCase{
		{"backend", in("firewall: {backend: pf}"), []string{`f.yaml:4: firewall.backend: "pf": not a backend; write auto, nftables or iptables`}},
		{"variant for another backend", in("firewall: {backend: nftables, iptables: nft}"), []string{
			`f.yaml:4: firewall.iptables: "nft": a variant of iptables, but firewall.backend is nftables; remove it, or write backend: iptables`}},
		{"iptables", in("firewall: {iptables: nftables}"), []string{
			`f.yaml:4: firewall.iptables: "nftables": not a variant of iptables; write auto, nft or legacy`}},
		{"path later", inRule("data: {path: relay}"), []string{`f.yaml:6: rules[0].data.path: "relay": ` + later + "write auto or kernel"}},
		{"tls later", inRule("tls: {client: explicit}"), []string{
			`f.yaml:6: rules[0].tls.client: "explicit": ` + later + "write passthrough or refuse"}},
		{"tls implicit", inRule("tls: {client: implicit}"), []string{
			`f.yaml:6: rules[0].tls.client: "implicit": ` + later + "write passthrough or refuse"}},
		{"tls", inRule("tls: {client: off}"), []string{
			`f.yaml:6: rules[0].tls.client: "off": not a way to treat TLS; write passthrough or refuse`}},
		{"foreign address", inRule("data: {foreign_address: allow}"), []string{
			`f.yaml:6: rules[0].data.foreign_address: "allow": not a way to treat a foreign address; write refuse or substitute`}},
		{"preset", inRule("commands: {preset: none}"), []string{
			`f.yaml:6: rules[0].commands.preset: "none": not a preset; write full, read_only or upload_only`}},
		{"preset list", inRule("commands: {preset: [full]}"), []string{
			`f.yaml:6: rules[0].commands.preset: a list where one value is expected; write full, read_only or upload_only`}},
		{"format", in("log: {format: text}"), []string{`f.yaml:4: log.format: "text": not a format; write json or console`}},
		{"capitals", strings.Replace(base, "outbound", "Outbound", 1), []string{
			`f.yaml:3: rules[0].direction: "Outbound": not a direction; write outbound or inbound`}},
		{"truth", inRule("preserve_client_address: yes"), []string{
			`f.yaml:6: rules[0].preserve_client_address: "yes": neither true nor false; write true or false`}},
		{"truth mapping", inRule("preserve_client_address: {}"), []string{
			`f.yaml:6: rules[0].preserve_client_address: a mapping where one value is expected; write true or false`}},
		{"modes empty", inRule("data: {modes: []}"), []string{
			"f.yaml:6: rules[0].data.modes: an empty list: no data connection could be made; write [active], [passive] or [active, passive]"}},
		{"modes", inRule("data: {modes: [extended]}"), []string{`f.yaml:6: rules[0].data.modes[0]: "extended": not a mode; write active or passive`}},
		{"modes twice", inRule("data: {modes: [active, active]}"), []string{`f.yaml:6: rules[0].data.modes[1]: "active": stated twice; keep one`}},
		{"modes in the other order", inRule("data: {modes: [passive, active]}"), nil},
		{"name", strings.Replace(base, "office", "the office", 1), []string{
			`f.yaml:3: rules[0].name: "the office": not a name for a rule; write up to 64 letters, digits, dots, underscores and hyphens, a letter or digit first`}},
		{"name that is a number", strings.Replace(base, "office", "007", 1), nil},
		{"name that is a truth", strings.Replace(base, "office", "true", 1), nil},
	})
}

func TestDurationsAndCounts(t *testing.T) {
	const count = "not a number from 1 to 1000000; write a number from 1 to 1000000"
	checkFindings(t, []findingCase{
		{"bare", in("firewall: {pinhole_timeout: 60}"), []string{
			`f.yaml:4: firewall.pinhole_timeout: "60": a number without a unit; write 60s if seconds are meant`}},
		{"bare zero", in("firewall: {pinhole_timeout: 0}"), []string{
			`f.yaml:4: firewall.pinhole_timeout: "0": a number without a unit; write 0s if seconds are meant`}},
		{"short", in("firewall: {pinhole_timeout: 999ms}"), []string{
			`f.yaml:4: firewall.pinhole_timeout: "999ms": out of bounds; write a duration from 1s to 5m`}},
		{"long", in("firewall: {pinhole_timeout: 5m1s}"), []string{
			`f.yaml:4: firewall.pinhole_timeout: "5m1s": out of bounds; write a duration from 1s to 5m`}},
		{"negative", inRule("timeouts: {login: -1s}"), []string{
			`f.yaml:6: rules[0].timeouts.login: "-1s": out of bounds; write a duration from 1s to 1h`}},
		{"days", inRule("timeouts: {idle: 1d}"), []string{
			`f.yaml:6: rules[0].timeouts.idle: "1d": not a duration; write a duration such as 60s, 15m or 1h30m`}},
		{"a fraction", inRule("timeouts: {connect: 1.5s, idle: 1h30m, data_idle: 168h}"), nil},
		{"no sessions", inRule("limits: {sessions: 0}"), []string{`f.yaml:6: rules[0].limits.sessions: "0": ` + count}},
		{"negative sessions", inRule("limits: {sessions_per_client: -1}"), []string{`f.yaml:6: rules[0].limits.sessions_per_client: "-1": ` + count}},
		{"huge", inRule("limits: {sessions: 99999999999999999999}"), []string{`f.yaml:6: rules[0].limits.sessions: "99999999999999999999": ` + count}},
		{"a fraction of a failure", inRule("limits: {login_failures: 1.5}"), []string{
			`f.yaml:6: rules[0].limits.login_failures: "1.5": not a number from 1 to 1000; write a number from 1 to 1000`}},
	})
}

func TestNetworks(t *testing.T) {
	const oneOf = "; write an address or a network such as 192.168.50.0/24, or any"
	checkFindings(t, []findingCase{
		{"good", inRule(`clients: [10.0.0.0/8, 192.0.2.1, "2001:db8::/32", 2001:db9::1, 0.0.0.0/0]`), nil},
		{"any", inRule("clients: [any]"), nil},
		{"any without brackets", inRule("clients: any"), []string{`f.yaml:6: rules[0].clients: "any": not a list; write [any]`}},
		{"any and more", inRule("clients: [any, 10.0.0.0/8]"), []string{
			`f.yaml:6: rules[0].clients[0]: "any": any includes the others; write [any], or remove any`}},
		{"empty", inRule("clients: []"), []string{
			"f.yaml:6: rules[0].clients: an empty list: nobody would match; write addresses or networks, or any: [192.168.50.0/24, 192.168.51.7]"}},
		{"host bits", inRule("clients: [192.168.50.7/24]"), []string{
			`f.yaml:6: rules[0].clients[0]: "192.168.50.7/24": an address within a network; write 192.168.50.0/24 for the network, or 192.168.50.7 for the address`}},
		{"prefix length", inRule("clients: [192.168.50.0/33]"), []string{
			`f.yaml:6: rules[0].clients[0]: "192.168.50.0/33": "33" is not a prefix length; write a number from 0 to 32 after the slash`}},
		{"netmask", inRule("servers: [192.168.50.0/255.255.255.0]"), []string{
			`f.yaml:6: rules[0].servers[0]: "192.168.50.0/255.255.255.0": "255.255.255.0" is not a prefix length; write a number from 0 to 32 after the slash`}},
		{"name", inRule("servers: [ftp.example.com]"), []string{`f.yaml:6: rules[0].servers[0]: "ftp.example.com": not an address` + oneOf}},
		{"leading zeros", inRule("clients: [192.168.050.1]"), []string{`f.yaml:6: rules[0].clients[0]: "192.168.050.1": not an address` + oneOf}},
		{"bad network", inRule("clients: [192.168/16]"), []string{
			`f.yaml:6: rules[0].clients[0]: "192.168/16": not an address; write a network such as 192.168.50.0/24 or 2001:db8::/32`}},
		{"unspecified", inRule("clients: [0.0.0.0]"), []string{
			`f.yaml:6: rules[0].clients[0]: "0.0.0.0": the unspecified address belongs to nobody; write any, or 0.0.0.0/0 for the whole family`}},
		{"zone", inRule(`clients: ["fe80::1%eth0"]`), []string{
			`f.yaml:6: rules[0].clients[0]: "fe80::1%eth0": an address with a zone; write it without eth0 and the percent sign`}},
		{"mapped", inRule(`clients: ["::ffff:10.0.0.1"]`), []string{
			`f.yaml:6: rules[0].clients[0]: "::ffff:10.0.0.1": an IPv4 address in the dress of IPv6; write 10.0.0.1`}},
		{"twice", inRule("clients: [10.0.0.1, 10.0.0.1/32]"), []string{`f.yaml:6: rules[0].clients[1]: "10.0.0.1/32": stated twice; keep one`}},
	})
}

func TestAdvertise(t *testing.T) {
	const cure = `; write the address or host name that the NAT in front shows, or "" if there is none`
	checkFindings(t, []findingCase{
		{"broken address", in("advertise: 300.1.2.3"), []string{`f.yaml:4: advertise: "300.1.2.3": not an address` + cure}},
		{"a port", in("advertise: 203.0.113.1:21"), []string{`f.yaml:4: advertise: "203.0.113.1:21": not an address` + cure}},
		{"brackets", in(`advertise: "[2001:db8::1]"`), []string{`f.yaml:4: advertise: "[2001:db8::1]": not an address` + cure}},
		{"loopback", in("advertise: 127.0.0.1"), []string{`f.yaml:4: advertise: "127.0.0.1": a loopback address does not leave this host` + cure}},
		{"underscore", in("advertise: my_router"), []string{`f.yaml:4: advertise: "my_router": not an address` + cure}},
		{"list", in("advertise: [203.0.113.1]"), []string{`f.yaml:4: advertise: a list where one value is expected` + cure}},
	})
	for text, want := range map[string]Advertise{
		`""`:               {},
		"203.0.113.1":      {Address: netip.MustParseAddr("203.0.113.1")},
		"2001:db8::1":      {Address: netip.MustParseAddr("2001:db8::1")},
		"FTP.Example.com.": {Host: "ftp.example.com"},
		"router":           {Host: "router"},
	} {
		config, _, err := Parse("f.yaml", []byte(in("advertise: "+text)))
		if err != nil || config.Advertise != want {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
}

func TestVerbsAndUsers(t *testing.T) {
	const verb = "; write a command such as SITE"
	checkFindings(t, []findingCase{
		{"good", inRule("commands: {deny: [site, DELE, XSHA256]}"), nil},
		{"with an argument", inRule("commands: {deny: [SITE CHMOD]}"), []string{
			`f.yaml:6: rules[0].commands.deny[0]: "SITE CHMOD": not the verb of a command` + verb}},
		{"empty", inRule(`commands: {deny: [""]}`), []string{`f.yaml:6: rules[0].commands.deny[0]: an empty text` + verb}},
		{"twice in other letters", inRule("commands: {deny: [SITE, site]}"), []string{
			`f.yaml:6: rules[0].commands.deny[1]: "site": stated twice; keep one`}},
		{"misspelled", inRule("commands: {deny: [DLEE]}"), []string{
			`warning: f.yaml:6: rules[0].commands.deny[0]: "DLEE": not a command that ftpgate has heard of; did you mean DELE?`}},
		{"unknown", inRule("commands: {deny: [WOMBAT]}"), []string{
			`warning: f.yaml:6: rules[0].commands.deny[0]: "WOMBAT": not a command that ftpgate has heard of; check the spelling`}},
		{"names", inRule(`users: {allow: [bob, "web-*", "a b", 42, 'quo"te\'], deny: ["*"]}`), nil},
		{"control character", inRule(`users: {allow: ["a\tb"]}`), []string{
			`f.yaml:6: rules[0].users.allow[0]: "a\tb": holds a character that cannot be printed; write a login name, in which * stands for any characters`}},
		{"not a list", inRule("users: {deny: root}"), []string{`f.yaml:6: rules[0].users.deny: "root": not a list; write [root]`}},
	})
}

// Every value of a rule, from the file to its type.
func TestEveryValue(t *testing.T) {
	config, warnings, err := Parse("f.yaml", []byte(`
interfaces: {lan: [br-lan], wan: [ppp0, eth1]}
data_ports: 40000-40099
advertise: 203.0.113.1
firewall: {backend: iptables, iptables: legacy, pinhole_timeout: 90s}
listen_port: 2122
status: {listen: "unix:/run/status", tls_certificate: /etc/c.pem, tls_key: /etc/k.pem}
audit: {transfers: /var/log/t, xferlog: /var/log/x}
rules:
  - name: all
    direction: inbound
    clients: [10.0.0.0/8]
    servers: [192.0.2.1]
    ports: [21, 2100]
    server: 192.168.50.20
    preserve_client_address: false
    data: {modes: [passive], foreign_address: substitute, active_source_port_20: true, path: kernel}
    tls: {client: refuse}
    commands: {preset: upload_only, deny: [site]}
    users: {allow: ["a*"], deny: [root]}
    limits: {sessions: 1, sessions_per_client: 2, login_failures: 3}
    timeouts: {login: 1m, idle: 2m, connect: 3s, data_idle: 4m}
log: {level: debug, format: console}
`))
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	want := &Config{
		Interfaces: Interfaces{LAN: []string{"br-lan"}, WAN: []string{"ppp0", "eth1"}},
		DataPorts:  PortRange{First: 40000, Last: 40099},
		Advertise:  Advertise{Address: netip.MustParseAddr("203.0.113.1")},
		Firewall:   Firewall{Backend: BackendIPTables, IPTables: IPTablesLegacy, PinholeTimeout: 90 * time.Second},
		ListenPort: 2122,
		Status:     Status{Listen: "unix:/run/status", TLSCertificate: "/etc/c.pem", TLSKey: "/etc/k.pem"},
		Audit:      Audit{Transfers: "/var/log/t", Xferlog: "/var/log/x"},
		Rules: []Rule{{
			Name: "all", Direction: Inbound,
			Clients: Networks{netip.MustParsePrefix("10.0.0.0/8")},
			Servers: Networks{netip.MustParsePrefix("192.0.2.1/32")},
			Ports:   []uint16{21, 2100},
			Server:  []netip.AddrPort{netip.MustParseAddrPort("192.168.50.20:21")},
			Data: Data{Modes: Modes{Passive: true}, ForeignAddress: ForeignSubstitute, ActiveSourcePort20: true,
				Path: PathKernel},
			TLS:      TLS{Client: TLSRefuse},
			Commands: Commands{Preset: PresetUploadOnly, Deny: []string{"SITE"}},
			Users:    Users{Allow: []string{"a*"}, Deny: []string{"root"}},
			Limits:   Limits{Sessions: 1, SessionsPerClient: 2, LoginFailures: 3},
			Timeouts: Timeouts{Login: time.Minute, Idle: 2 * time.Minute, Connect: 3 * time.Second, DataIdle: 4 * time.Minute},
		}},
		Log: Log{Level: LevelDebug, Format: FormatConsole},
	}
	if !reflect.DeepEqual(config, want) {
		t.Errorf("%+v\nwant\n%+v", config, want)
	}
	checkRoundTrip(t, config)
}

// The endpoint is not open to everybody by mistake.
func TestStatus(t *testing.T) {
	in := func(status string) string { return base + "status: {" + status + "}\n" }
	const nowhere = `; write an address and a port, such as 127.0.0.1:9121 or "[::1]:9121", or unix:/run/ftpgate/status.sock, or "" for none`
	checkFindings(t, []findingCase{
		{"none", in(`listen: ""`), nil},
		{"loopback", in(`listen: "[::1]:9121"`), nil},
		{"a socket", in("listen: unix:/run/s"), nil},
		{"wide with a token", in("listen: 0.0.0.0:9121, token_file: /etc/ftpgate/token"), nil},
		{"wide with TLS", in("listen: 192.168.50.1:9121, tls_certificate: /c, tls_key: /k"), nil},
		{"wide", in("listen: 0.0.0.0:9121"), []string{`f.yaml:4: status.listen: "0.0.0.0:9121": everybody who reaches this address could read ` +
			`users, addresses and files; write 127.0.0.1:9121, or state status.token_file, or tls_certificate and tls_key`}},
		{"half of TLS", in("tls_key: /k"), []string{"f.yaml:4: status: one of tls_certificate and tls_key without the other; state both, or none"}},
		{"no port", in("listen: 127.0.0.1"), []string{`f.yaml:4: status.listen: "127.0.0.1": not an address with a port` + nowhere}},
		{"a name", in("listen: localhost:9121"), []string{`f.yaml:4: status.listen: "localhost:9121": not an address with a port` + nowhere}},
		{"a relative socket", in("listen: unix:s"), []string{`f.yaml:4: status.listen: "unix:s": not the absolute path of a socket of at most 100 bytes` + nowhere}},
	})
}

func TestPortRange(t *testing.T) {
	p := PortRange{First: 50000, Last: 51999}
	if !p.Contains(50000) || !p.Contains(51999) || p.Contains(49999) || p.Contains(52000) || fmt.Sprint(p) != "50000-51999" {
		t.Errorf("%v", p)
	}
}

func TestNearest(t *testing.T) {
	words := []string{"clients", "servers", "server", "ports"}
	for text, want := range map[string]string{
		"client": "clients", "cleints": "clients", "servers_": "servers", "port": "ports", "Ports": "ports",
		"banana": "", "": "", strings.Repeat("x", 5000): "",
	} {
		if got := nearest(text, words); got != want {
			t.Errorf("%.20q: %q, want %q", text, got, want)
		}
	}
}
