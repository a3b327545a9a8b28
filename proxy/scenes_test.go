package proxy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ftpgate/ftpgate/proxy/policy"
)

// scene is who is who in a case.
type scene struct {
	direction policy.Direction
	addressing
	preserve bool
	server   []netip.AddrPort
}

// scenes have the addresses of the vectors.
var scenes = map[string]scene{
	"outbound": {direction: policy.Outbound, addressing: addressing{
		client: at("192.168.1.10:1027"), dialled: at("198.51.100.7:21"), local: at("203.0.113.1:0").Addr(), fromLAN: true}},
	"routed": {direction: policy.Outbound, preserve: true, addressing: addressing{
		client: at("192.168.1.10:1027"), dialled: at("198.51.100.7:21"), fromLAN: true}},
	"ipv6": {direction: policy.Outbound, preserve: true, addressing: addressing{
		client: at("[2001:db8:1::10]:1027"), dialled: at("[2001:db8:2::7]:21"), fromLAN: true}},
	"nat66": {direction: policy.Outbound, addressing: addressing{
		client: at("[fd00::10]:1027"), dialled: at("[2001:db8:2::7]:21"), local: at("[2001:db8:3::1]:0").Addr(), fromLAN: true}},
	"inbound": {direction: policy.Inbound, preserve: true, server: []netip.AddrPort{at("192.168.1.5:21")}, addressing: addressing{
		client: at("198.51.100.20:1027"), dialled: at("203.0.113.1:21"), isLocal: true}},
	"inbound-hidden": {direction: policy.Inbound, server: []netip.AddrPort{at("192.168.1.5:21")}, addressing: addressing{
		client: at("198.51.100.20:1027"), dialled: at("203.0.113.1:21"), local: at("192.168.1.1:0").Addr(), isLocal: true}},
	"inbound-ipv6": {direction: policy.Inbound, preserve: true, server: []netip.AddrPort{at("[2001:db8:1::5]:21")}, addressing: addressing{
		client: at("[2001:db8:2::20]:1027"), dialled: at("[2001:db8:1::5]:21")}},
	"hairpin": {direction: policy.Inbound, preserve: true, server: []netip.AddrPort{at("192.168.1.5:21")}, addressing: addressing{
		client: at("192.168.1.10:1027"), dialled: at("203.0.113.1:21"), local: at("192.168.1.1:0").Addr(), fromLAN: true, isLocal: true}},
}

func at(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// setup makes the laboratory that the settings at the head of a case want and
// lets the first client dial; it returns the steps behind the settings.
func (p *play) setup(steps []step) []step {
	place, pool, stage := scenes["outbound"], [2]uint16{50001, 50001}, "logged in"
	var keys []step
	for ; len(steps) > 0; steps = steps[1:] {
		s := steps[0]
		p.where = s
		if named, ok := scenes[s.verb]; ok {
			place = named
			continue
		}
		if s.verb == "greeting" || s.verb == "anonymous" {
			stage = s.verb
			continue
		}
		if s.verb == "pool" {
			if _, err := fmt.Sscanf(s.arg, "%d-%d", &pool[0], &pool[1]); err != nil {
				p.Fatalf("%s:%d: %v", p.file, s.line, err)
			}
			continue
		}
		if s.verb != "set" {
			break
		}
		keys = append(keys, s)
	}
	rule := openRule(place.direction)
	rule.PreserveClientAddress, rule.Server = place.preserve, place.server
	p.lab = newLab(p.T, rule, place.addressing, pool)
	for _, s := range keys {
		p.where = s
		p.set(rule, s.arg)
	}
	p.pairs = make(map[string]*pair)
	p.with("1", "")
	p.open(stage)
	return steps
}

// set changes the rule: the keys of the configuration that dialogues need, and
// "server", which says what the server is like.
func (p *play) set(rule *policy.Rule, arg string) {
	key, value, _ := strings.Cut(arg, " ")
	switch key {
	case "modes":
		rule.Active, rule.Passive = strings.Contains(value, "active"), strings.Contains(value, "passive")
	case "foreign_address":
		rule.ForeignAddress = policy.ForeignAddress(value)
	case "active_source_port_20":
		rule.ActiveSourcePort20 = value == "true"
	case "preserve_client_address":
		rule.PreserveClientAddress = value == "true"
	case "tls":
		rule.TLS = policy.ClientTLS(value)
	case "preset":
		rule.Commands.Preset = policy.Preset(value)
	case "deny":
		rule.Commands.Deny = strings.Fields(value)
	case "users.allow":
		rule.Users.Allow = strings.Fields(value)
	case "users.deny":
		rule.Users.Deny = strings.Fields(value)
	case "clients":
		rule.Clients = []netip.Prefix{netip.MustParsePrefix(value)}
	case "server":
		p.lab.network.unreachable, p.lab.network.hanging = value == "unreachable", value == "silent"
	case "advertise":
		p.lab.settings.Advertise = FixedAddress(netip.MustParseAddr(value))
		p.lab.gateway.Apply(&p.lab.settings)
	default:
		p.setNumber(rule, key, value)
	}
}

func (p *play) setNumber(rule *policy.Rule, key, value string) {
	switch key {
	case "login":
		rule.Timeouts.Login = p.duration(value)
		return
	case "idle":
		rule.Timeouts.Idle = p.duration(value)
		return
	case "connect":
		rule.Timeouts.Connect = p.duration(value)
		return
	case "data_idle":
		rule.Timeouts.DataIdle = p.duration(value)
		return
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		p.failf("%v", err)
	}
	switch key {
	case "sessions":
		rule.Limits.Sessions = n
	case "sessions_per_client":
		rule.Limits.SessionsPerClient = n
	case "login_failures":
		rule.Limits.LoginFailures = n
	default:
		p.failf("no such key")
	}
}
