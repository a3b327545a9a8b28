package configs

import (
	"regexp"
	"time"
)

// Bounds that the reference file states beside each key.
const (
	mostInterfaces = 64
	mostRules      = 256
	mostPorts      = 64 // fit four rules of iptables' multiport
	mostNetworks   = 1024
	mostVerbs      = 128
	mostUsers      = 1024
	mostSessions   = 1_000_000
	mostFailures   = 1000

	longestPinhole = 5 * time.Minute
	longestLogin   = time.Hour
	longestConnect = 5 * time.Minute    // Linux gives a SYN up after about 130 s
	longestIdle    = 7 * 24 * time.Hour // conntrack's own default is 5 days
	shortestWait   = time.Second
)

// fields is the schema of the whole file.
func (c *Config) fields() []field {
	return []field{
		{key: "interfaces", kind: group(
			field{"lan", "name the interfaces of the trusted side: lan: [eth0]", interfaces(&c.Interfaces.LAN)},
			field{"wan", "name the interfaces of the Internet side: wan: [eth1]", interfaces(&c.Interfaces.WAN)},
		)},
		{key: "data_ports", kind: portRange(&c.DataPorts)},
		{key: "advertise", kind: advertise(&c.Advertise)},
		{key: "firewall", kind: group(
			field{key: "backend", kind: choice(&c.Firewall.Backend, "a backend",
				[]Backend{BackendAuto, BackendNFTables, BackendIPTables})},
			field{key: "iptables", kind: choice(&c.Firewall.IPTables, "a variant of iptables",
				[]IPTables{IPTablesAuto, IPTablesNFT, IPTablesLegacy})},
			field{key: "pinhole_timeout", kind: duration(&c.Firewall.PinholeTimeout, longestPinhole)},
			field{key: "forwarding", kind: boolean(&c.Firewall.Forwarding)},
			field{key: "masquerade", kind: boolean(&c.Firewall.Masquerade)},
		)},
		{key: "listen_port", kind: port(&c.ListenPort)},
		{key: "status", kind: group(
			field{key: "listen", kind: listen(&c.Status.Listen)},
			field{key: "token_file", kind: file(&c.Status.TokenFile)},
			field{key: "tls_certificate", kind: file(&c.Status.TLSCertificate)},
			field{key: "tls_key", kind: file(&c.Status.TLSKey)},
		)},
		{key: "audit", kind: group(
			field{key: "transfers", kind: file(&c.Audit.Transfers)},
			field{key: "xferlog", kind: file(&c.Audit.Xferlog)},
		)},
		{"rules", "write at least one: - {name: office, direction: outbound}", rules(&c.Rules)},
		{key: "log", kind: group(
			field{key: "level", kind: choice(&c.Log.Level, "a level",
				[]LogLevel{LevelDebug, LevelInfo, LevelWarn, LevelError})},
			field{key: "format", kind: choice(&c.Log.Format, "a format", []LogFormat{FormatJSON, FormatConsole})},
		)},
	}
}

// fields is the schema of one rule.
func (r *Rule) fields() []field {
	return []field{
		{"name", "name the rule, for example name: office", ruleName(&r.Name)},
		{"direction", "write direction: outbound or direction: inbound",
			choice(&r.Direction, "a direction", []Direction{Outbound, Inbound})},
		{key: "clients", kind: networks(&r.Clients)},
		{key: "servers", kind: networks(&r.Servers)},
		{key: "ports", kind: ports(&r.Ports)},
		{key: "server", kind: endpoints(&r.Server)},
		{key: "preserve_client_address", kind: boolean(&r.PreserveClientAddress)},
		{key: "data", kind: group(r.Data.fields()...)},
		{key: "tls", kind: group(
			field{key: "client", kind: choice(&r.TLS.Client, "a way to treat TLS",
				[]TLSClient{TLSPassthrough, TLSRefuse}, "explicit", "implicit")},
		)},
		{key: "commands", kind: group(
			field{key: "preset", kind: choice(&r.Commands.Preset, "a preset",
				[]Preset{PresetFull, PresetReadOnly, PresetUploadOnly})},
			field{key: "deny", kind: verbs(&r.Commands.Deny)},
		)},
		{key: "users", kind: group(
			field{key: "allow", kind: users(&r.Users.Allow)},
			field{key: "deny", kind: users(&r.Users.Deny)},
		)},
		{key: "limits", kind: group(
			field{key: "sessions", kind: count(&r.Limits.Sessions, mostSessions)},
			field{key: "sessions_per_client", kind: count(&r.Limits.SessionsPerClient, mostSessions)},
			field{key: "login_failures", kind: count(&r.Limits.LoginFailures, mostFailures)},
		)},
		{key: "timeouts", kind: group(r.Timeouts.fields()...)},
	}
}

func (d *Data) fields() []field {
	return []field{
		{key: "modes", kind: modes(&d.Modes)},
		{key: "foreign_address", kind: choice(&d.ForeignAddress, "a way to treat a foreign address",
			[]ForeignAddress{ForeignRefuse, ForeignSubstitute})},
		{key: "active_source_port_20", kind: boolean(&d.ActiveSourcePort20)},
		{key: "path", kind: choice(&d.Path, "a path", []Path{PathAuto, PathKernel}, "relay")},
	}
}

func (t *Timeouts) fields() []field {
	return []field{
		{key: "login", kind: duration(&t.Login, longestLogin)},
		{key: "idle", kind: duration(&t.Idle, longestIdle)},
		{key: "connect", kind: duration(&t.Connect, longestConnect)},
		{key: "data_idle", kind: duration(&t.DataIdle, longestIdle)},
	}
}

// comesLater tells whether a key is one that a later version reads. Until then it is refused: a key that is read and
// ignored would promise what does not happen.
func comesLater(path string) bool {
	switch indexes.ReplaceAllString(path, "[]") {
	case "rules[].data.server_mode", "rules[].tls.server":
		return true
	}
	return false
}

var indexes = regexp.MustCompile(`\[\d+\]`)

// rules is the list of rules. Each begins with the defaults of its direction.
func rules(at *[]Rule) kind {
	return kind{
		read: func(v value) {
			items, ok := v.list(mostRules)
			if ok && len(items) == 0 {
				v.fail("no rule", "write at least one: - {name: office, direction: outbound}")
			}
			for _, item := range items {
				*at = append(*at, readRule(item))
			}
		},
		elements: func() [][]field {
			if len(*at) == 0 {
				return [][]field{new(Rule).fields()}
			}
			var all [][]field
			for i := range *at {
				all = append(all, (*at)[i].fields())
			}
			return all
		},
	}
}

// readRule reads one rule; what depends on other keys of the rule and is not stated follows them.
func readRule(v value) Rule {
	direction, _ := scalar(v.child("direction").node)
	rule := DefaultRule(Direction(direction))
	readGroup(v, rule.fields())
	if !v.child("tls").child("client").stated() && rule.Restricted() {
		rule.TLS.Client = TLSRefuse
	}
	return rule
}
