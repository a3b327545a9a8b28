// Package policy decides: which rule a connection falls under, which server it
// reaches, what its client may say and where its data may go.
//
// Everything here is a pure function of its arguments. There is no clock, no
// socket and no state, so that the tables in policy_test.go are the
// specification.
package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Direction says on which side of the router the server is.
type Direction string

// A control connection is outbound when a LAN client dials a server beyond the
// router, and inbound when anyone dials a server that the router publishes.
const (
	Outbound Direction = "outbound"
	Inbound  Direction = "inbound"
)

// ForeignAddress says what becomes of a PORT or EPRT whose address is not the
// one that the control connection comes from.
type ForeignAddress string

const (
	// Refuse answers 501, so that the gateway is no tool for a bounce attack
	// (RFC 2577 §3).
	Refuse ForeignAddress = "refuse"
	// Substitute uses the address of the control connection instead of the
	// claim: for clients behind a translation of their own.
	Substitute ForeignAddress = "substitute"
)

// ClientTLS says what becomes of AUTH TLS on the client leg (RFC 4217).
type ClientTLS string

const (
	// Passthrough lets AUTH reach the server; after its 234 the gateway sees
	// nothing any more and opens nothing any more.
	Passthrough ClientTLS = "passthrough"
	// RefuseTLS answers 534 and takes TLS out of FEAT.
	RefuseTLS ClientTLS = "refuse"
)

// Rule is one entry of the configuration's list of rules.
type Rule struct {
	Name      string
	Direction Direction
	Clients   []netip.Prefix   // who may connect; empty: nobody
	Servers   []netip.Prefix   // addresses that may be dialled; empty: none
	Ports     []uint16         // control ports taken over
	Server    []netip.AddrPort // inbound: the published server, at most one per address family

	PreserveClientAddress bool // the server sees the client's address, not the router's
	Active, Passive       bool // modes that clients may negotiate
	ForeignAddress        ForeignAddress
	ActiveSourcePort20    bool // the server's data connection must come from port 20
	TLS                   ClientTLS

	Commands Commands
	Users    Users
	Limits   Limits
	Timeouts Timeouts
}

// Limits bound what the clients of a rule may take.
type Limits struct {
	Sessions          int // at once, under this rule
	SessionsPerClient int // at once, from one address
	LoginFailures     int // refused logins in one session before it is closed (RFC 2577 §5)
}

// Timeouts bound the waits of a session.
type Timeouts struct {
	Login    time.Duration // from the connection to a successful login
	Idle     time.Duration // without a line in either direction and without moving data
	Connect  time.Duration // for the connection to the server
	DataIdle time.Duration // a transfer whose data connection moves no byte
}

// Arrival is what is known of a control connection when it is accepted.
type Arrival struct {
	Client  netip.AddrPort // its source
	Dialled netip.AddrPort // its destination before it was taken over
	FromLAN bool           // it came in by a LAN interface
	Local   bool           // the dialled address is one of the router's own
	ToWAN   bool           // packets to the dialled address leave on the WAN side
}

// direction tells a LAN client that dials the router's own address (a hairpin
// connection to a published server) from one that wants to get out.
func (a Arrival) direction() Direction {
	if a.FromLAN && !a.Local {
		return Outbound
	}
	return Inbound
}

// Rules is the list in the order of the configuration: the first rule that
// matches decides.
type Rules []*Rule

// Decide returns the first rule that matches the connection and the server to
// dial for it. Without one it returns a Refusal (421) that says why.
func (rs Rules) Decide(a Arrival) (*Rule, netip.AddrPort, error) {
	for _, r := range rs {
		if server, ok := r.match(a); ok {
			return r, server, nil
		}
	}
	return nil, netip.AddrPort{}, &Refusal{
		Reason: NoRule, Code: 421, Say: "This connection is not allowed here.",
		Why: fmt.Sprintf("no rule for an %s connection from %s to %s", a.direction(), a.Client.Addr(), a.Dialled),
	}
}

func (r *Rule) match(a Arrival) (server netip.AddrPort, ok bool) {
	if r.Direction != a.direction() ||
		!slices.Contains(r.Ports, a.Dialled.Port()) && !slices.Contains(r.Server, a.Dialled) ||
		!contains(r.Clients, a.Client.Addr()) ||
		!contains(r.Servers, a.Dialled.Addr()) {
		return netip.AddrPort{}, false
	}
	if r.Direction == Outbound {
		// A rule for any server is about those outside. Whoever wants the
		// gateway to reach another network behind the router names it.
		return a.Dialled, a.ToWAN || !everywhere(r.Servers)
	}
	return r.published(a)
}

// published finds the server behind the address that the client dialled. A
// client that dials the server's own, routed address reaches just that one;
// who dials the router reaches the server of the family he dialled.
func (r *Rule) published(a Arrival) (netip.AddrPort, bool) {
	if slices.Contains(r.Server, a.Dialled) {
		return a.Dialled, true
	}
	if len(r.Server) == 0 { // servers names routed servers, dialled by their own address
		return a.Dialled, !a.Local
	}
	if !a.Local && everywhere(r.Servers) {
		return netip.AddrPort{}, false // somebody else's server that merely lies behind this router
	}
	for _, server := range r.Server {
		if server.Addr().Is4() == a.Dialled.Addr().Is4() {
			return server, true
		}
	}
	return netip.AddrPort{}, false
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// everywhere reports whether the networks name no server in particular.
func everywhere(networks []netip.Prefix) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Bits() == 0 })
}

// Refusal is an answer, not a failure: Code and Say go to the client, Why goes
// to the operator's log, Reason to counters.
type Refusal struct {
	Code   int    // reply code (RFC 959 §4.2)
	Say    string // one line of 7-bit ASCII
	Why    string
	Reason Reason
}

// Reason is the kind of a refusal. There are only these: it labels metrics.
type Reason string

// The reasons.
const (
	NoRule         Reason = "no_rule"
	UnknownWay     Reason = "unknown_way"   // by an interface on neither side, or past the rules
	SessionLimit   Reason = "session_limit" // of the rule or of one client
	Stopping       Reason = "stopping"
	Unreachable    Reason = "server_unreachable"
	Syntax         Reason = "syntax"
	NotImplemented Reason = "not_implemented" // verbs that nobody may use
	CommandDenied  Reason = "command_denied"
	UserDenied     Reason = "user_denied"
	NotLoggedIn    Reason = "not_logged_in"
	ModeDenied     Reason = "mode_denied"
	ForeignData    Reason = "foreign_address"
	PortDenied     Reason = "port_denied"
	WrongFamily    Reason = "wrong_family"
	OnlyEPSV       Reason = "epsv_all"
	TLSDenied      Reason = "tls_denied"
	TooOften       Reason = "too_often"
	NotNegotiated  Reason = "not_negotiated"
	Expired        Reason = "pinhole_expired"
	Exhausted      Reason = "ports_exhausted"
	NoPinhole      Reason = "no_pinhole"
	BadReply       Reason = "unusable_reply"
	Internal       Reason = "internal"
)

func (r *Refusal) Error() string { return fmt.Sprintf("%d %s (%s)", r.Code, r.Say, r.Why) }

func refuse(reason Reason, code int, say, why string) *Refusal {
	return &Refusal{Code: code, Say: say, Why: why, Reason: reason}
}
