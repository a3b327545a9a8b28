// Package configs turns the configuration file into typed values, once.
//
// The file is YAML and read strictly: an unknown key, a value of the wrong type or out of its bounds stops the start,
// and every finding names the file, the line, the key, the value and what to do. [Reference] is the commented file that
// states every key with its default; a test proves that it equals [Defaults] and [DefaultRule].
//
// The values are plain data. What a rule means for a connection is decided elsewhere (proxy/policy).
package configs

import (
	"net/netip"
	"time"
)

// Config is a whole, valid configuration: what a file says with every default filled in.
type Config struct {
	Interfaces Interfaces
	DataPorts  PortRange // public ports lent to data connections
	Advertise  Advertise // zero: announce the address that the connection really has
	Firewall   Firewall
	ListenPort uint16 // local port of the transparent listener; never inside DataPorts
	Status     Status
	Audit      Audit
	Rules      []Rule // at least one; the first that matches decides
	Log        Log
}

// Interfaces are the router's two sides: names of network interfaces, none of them on both sides.
type Interfaces struct {
	LAN []string // trusted side, at least one
	WAN []string // Internet side, at least one
}

// Firewall says which program's tables hold the pinholes, how long an unused one lives, and what else the packet filter
// does for the LAN.
type Firewall struct {
	Backend        Backend
	IPTables       IPTables
	PinholeTimeout time.Duration // 1 s to 5 min
	Forwarding     bool          // make the host forward, LAN to WAN and nothing else that is new
	Masquerade     bool          // translate what leaves from LAN to WAN: IPv4, and unique local IPv6
}

// Status says where the daemon tells what it does. Beyond the loopback addresses and Unix sockets it has a token or TLS.
type Status struct {
	Listen         string // "127.0.0.1:9121", "[::1]:9121", "unix:/path"; "": nowhere
	TokenFile      string // its first line is what a reader must send; "": nothing
	TLSCertificate string // files; both or none
	TLSKey         string
}

// Audit names the files that each transfer is written to; "": none.
type Audit struct {
	Transfers string // a JSON object each
	Xferlog   string // a line of wu-ftpd's xferlog each
}

// Rule says which control connections are taken over and what may happen on them.
type Rule struct {
	Name      string // unique; letters, digits, dot, underscore and hyphen
	Direction Direction

	Clients Networks // where the connection may come from
	// Servers are the addresses that the client may dial. Inbound with Server set, any means every address of the
	// router; without Server the rule is routed and Servers holds explicit networks (see [Rule.Routed]).
	Servers Networks
	Ports   []uint16 // control ports taken over: the ones that the client dials; at least one
	// Server is where an inbound connection really goes: at most one for each address family, the one of the family
	// that the client dialled is taken. Always empty outbound, and empty in a routed inbound rule.
	Server []netip.AddrPort
	// PreserveClientAddress: the server sees the client's own address as the peer, not the router's.
	PreserveClientAddress bool

	Data     Data
	TLS      TLS
	Commands Commands
	Users    Users
	Limits   Limits
	Timeouts Timeouts
}

// Routed tells whether an inbound rule's servers are dialled by their own addresses: nothing is published by the router.
func (r *Rule) Routed() bool { return r.Direction == Inbound && len(r.Server) == 0 }

// Restricted tells whether the rule forbids anything that it must read the control connection to enforce: commands,
// users or data modes. Behind TLS passed through such a rule would not hold, so it makes [TLSRefuse] the default.
func (r *Rule) Restricted() bool { return len(r.restrictions()) > 0 }

// restrictions names the keys by which the rule is restricted.
func (r *Rule) restrictions() []string {
	var keys []string
	for _, one := range []struct {
		key string
		set bool
	}{
		{"commands.preset", r.Commands.Preset != PresetFull},
		{"commands.deny", len(r.Commands.Deny) > 0},
		{"users.allow", len(r.Users.Allow) > 0},
		{"users.deny", len(r.Users.Deny) > 0},
		{"data.modes", !r.Data.Modes.Active || !r.Data.Modes.Passive},
	} {
		if one.set {
			keys = append(keys, one.key)
		}
	}
	return keys
}

// Data says which data connections may be negotiated.
type Data struct {
	Modes              Modes
	ForeignAddress     ForeignAddress
	ActiveSourcePort20 bool // admit the server's active connection only from source port 20 (RFC 959 section 5.2)
	Path               Path
}

// Modes are the ways in which clients may ask for a data connection; at least one is set.
type Modes struct {
	Active  bool // PORT, EPRT
	Passive bool // PASV, EPSV
}

// TLS says what a client's AUTH gets.
type TLS struct {
	Client TLSClient
}

// Commands are the verbs that a rule lets pass.
type Commands struct {
	Preset Preset
	Deny   []string // upper case, unique; refused in addition to what Preset refuses
}

// Users are patterns for login names, in which * stands for any run of characters, also for none. A name that Deny
// matches is refused; Allow, if it is not empty, must match.
type Users struct {
	Allow []string
	Deny  []string
}

// Limits bound what the clients of a rule may take; each is at least 1.
type Limits struct {
	Sessions          int // of the whole rule at once
	SessionsPerClient int // of one client address at once
	LoginFailures     int // in one session, before it is closed
}

// Timeouts bound the waits of a session.
type Timeouts struct {
	Login    time.Duration // from the connection to the 230
	Idle     time.Duration // without a command, while no data moves
	Connect  time.Duration // to reach the server
	DataIdle time.Duration // a data connection on which nothing moves
}

// Log says how much is logged and in which form.
type Log struct {
	Level  LogLevel
	Format LogFormat
}
