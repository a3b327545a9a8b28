package proxy

import (
	"net/netip"
	"time"
)

// Kind is what a data connection is for.
type Kind string

// The kinds of transfers, by their verbs.
const (
	Download Kind = "download" // RETR
	Upload   Kind = "upload"   // STOR, STOU, APPE
	Listing  Kind = "listing"  // LIST, NLST, MLSD
	Nothing  Kind = "none"     // a data connection was negotiated, and no transfer asked for it
)

// Mode is who makes the data connection (RFC 959 §3.2).
type Mode string

// The modes, and what there is before one has been negotiated.
const (
	Active  Mode = "active"
	Passive Mode = "passive"
	NoMode  Mode = "none"
)

// Result is how a transfer went.
type Result string

// The results of transfers.
const (
	Running Result = "running"
	Done    Result = "done"    // its last reply is 2yz
	Failed  Result = "failed"  // the server said so, or its reply never came
	Refused Result = "refused" // by the gateway
	Unused  Result = "unused"  // negotiated, and given up without a transfer
	// LeftRunning: the gateway stopped, and its data connection went on.
	LeftRunning Result = "left_running"
)

// Transfer is the account of one transfer, or of the negotiation of one that did
// not come about.
type Transfer struct {
	Session   uint64
	Began     time.Time     // when its command came; of a negotiation without a transfer: PORT, or the reply to PASV
	Duration  time.Duration // from then to its last reply, to the end of the wait, or to now
	Rule      string
	Direction string // of the rule: outbound, inbound
	User      string // as sent
	Client    netip.AddrPort
	Server    netip.AddrPort
	Verb      string // of the transfer; of the negotiation where no transfer came
	Path      string // its argument as sent; any bytes
	Kind      Kind
	Mode      Mode
	Image     bool   // its bytes were sent as they are: TYPE I or L 8; false: TYPE A or E
	Bytes     uint64 // carried, about (see nat.Traffic); at a failure too
	Result    Result
	Reply     string // the last one to the client, "226 Transfer complete."; "" where none came
	Diagnosis        // zero where nothing is to be explained
}

// Diagnosis explains in one sentence why a transfer did not happen.
type Diagnosis struct {
	Cause    Cause
	Sentence string
	Evidence []string // what was seen, a line each
}

// Cause is the kind of a diagnosis. There are only these: it labels metrics.
type Cause string

// The causes.
const (
	CauseNone          Cause = ""
	CauseNoConnection  Cause = "never_connected"     // nothing came
	CauseElsewhere     Cause = "from_elsewhere"      // it came from another address or by another interface
	CauseDropped       Cause = "dropped"             // it came and was dropped on this host
	CauseUnanswered    Cause = "unanswered"          // it was led on, and whom it was led to is silent
	CauseLate          Cause = "after_expiry"        // it came after the pinhole's life
	CauseServer        Cause = "server_refused"      // 425, 426, 451, 550 of the server
	CauseForeign       Cause = "foreign_address"     // the client announced an address that is not its own
	CauseTLS           Cause = "tls"                 // the dialogue cannot be read
	CauseRewritten     Cause = "rewritten_elsewhere" // another device changes the announced port
	CauseKernelHelper  Cause = "kernel_helper"       // nf_conntrack_ftp works on the same connection
	CauseExhausted     Cause = "ports_exhausted"     // no public port was left
	CauseFirewall      Cause = "firewall"            // the pinhole could not be opened
	CausePolicy        Cause = "policy"              // the rule or a limit forbids it
	CauseUnusableReply Cause = "unusable_reply"      // the server's 227 or 229
	CauseLeft          Cause = "gone"                // one side left in the middle
	CauseStalled       Cause = "stalled"             // no byte within timeouts.data_idle
	CauseNotNegotiated Cause = "not_negotiated"      // a transfer without PORT or PASV before it
	CauseSyntax        Cause = "syntax"              // the client's PORT or EPRT cannot be read
	CauseStopped       Cause = "gateway_stopped"     // while the transfer ran, or waited
)

// Causes are all of them.
var Causes = []Cause{
	CauseNoConnection, CauseElsewhere, CauseDropped, CauseUnanswered, CauseLate, CauseServer,
	CauseForeign, CauseTLS, CauseRewritten, CauseKernelHelper, CauseExhausted,
	CauseFirewall, CausePolicy, CauseUnusableReply, CauseLeft, CauseStalled,
	CauseNotNegotiated, CauseSyntax, CauseStopped,
}

// Session is a session at one moment.
type Session struct {
	ID              uint64
	Rule, Direction string
	User            string // as sent; "" before USER
	LoggedIn        bool
	Client, Dialled netip.AddrPort // the client's leg
	SeenAs, Server  netip.AddrPort // the server's leg; SeenAs is not valid before it stands
	ClientVia       string         // interface of the leg
	ServerVia       string         // likewise; "" until it has been asked for
	Began, Heard    time.Time      // Heard: the last line of either side
	TLS             bool           // passes unread
	Transfers       int            // done
	Failed          int            // that did not happen, and negotiations that led to none
	Bytes           uint64         // carried by all data connections so far
	Transfer        *Transfer      // the running one, with a diagnosis if it is known what keeps its data away; nil: none
	Pinhole         string         // that waits for its connection, as text; "": none
}

// Stats are the numbers of a Server at one moment. Counters start at 0 with it.
type Stats struct {
	Active    map[string]int    // sessions by rule
	Begun     map[string]uint64 // likewise, all since the start
	Refusals  map[string]uint64 // connections and commands that were refused, by policy.Refusal.Reason
	Transfers map[TransferClass]TransferCount
	Causes    map[Cause]uint64 // diagnoses
}

// TransferClass is what transfers are counted by.
type TransferClass struct {
	Rule   string
	Kind   Kind
	Mode   Mode
	Result Result
}

// TransferCount is how many there were, and the bytes that they carried.
type TransferCount struct{ Transfers, Bytes uint64 }
