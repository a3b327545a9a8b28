package status

import (
	"time"

	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/nat"
	"github.com/ftpgate/ftpgate/proxy"
)

// Source is the gateway as the endpoint sees it. Its methods may be called at
// any time, by several goroutines.
type Source interface {
	Gateway() Gateway
	// Warnings are what is wrong with the host, each with its cure.
	Warnings() []string
	// Sessions returns up to limit sessions whose ID is above after, in the
	// order of their IDs.
	Sessions(after uint64, limit int) []proxy.Session
	// Pinholes are those in place: the soonest end first, and used ones last.
	Pinholes() []proxy.Pinhole
	// Transfers are the last ones, newest first; failures are kept longer.
	Transfers() []proxy.Transfer
	// TurnedAway are the last connections that got no session, newest first.
	TurnedAway() []proxy.TurnedAway
	SessionStats() proxy.Stats
	// Carried is what all data connections have carried, running ones included, in
	// bytes, and how many transfers run.
	Carried() (bytes uint64, running int)
	FirewallStats() firewall.Stats
	PortStats() nat.PortStats
	FlowStats() nat.FlowStats
}

// Gateway is what is known of the daemon besides the numbers of its parts.
type Gateway struct {
	Version       string
	Began         time.Time
	Ready         bool   // rules verified in place, listeners up
	NotReady      string // why not; "" when ready
	Backend       string
	BackendWhy    string
	Interfaces    []Interface
	Rules         []Rule
	Reloads       uint64
	FailedReloads uint64
	Reloaded      time.Time // the last one that succeeded; zero: none
	ReloadError   string    // of the last one, if it failed
	RouteRepairs  uint64    // of ip rules and routes
	Audit         Audit
}

// Interface is one of the configuration.
type Interface struct {
	Name      string   `json:"name"`
	Side      string   `json:"side"` // lan, wan
	Up        bool     `json:"up"`
	Present   bool     `json:"present"`
	Addresses []string `json:"addresses"`
}

// Rule is one of the configuration.
type Rule struct {
	Name, Direction string
	Ports           []uint16
	Limit           int // limits.sessions
}

// Audit is the state of the audit files.
type Audit struct {
	Written uint64 // records
	Lost    uint64 // records that could not be written
	Error   string // the last one, as long as it lasts
}

// The JSON of the endpoints. Times are RFC 3339 in UTC, durations are seconds,
// addresses are text, sizes are bytes. Text of clients is as they sent it;
// bytes that are no UTF-8 are replaced.

// StatusJSON is GET /api/v1/status.
type StatusJSON struct {
	Version       string      `json:"version"`
	Began         time.Time   `json:"began"`
	Uptime        float64     `json:"uptime_seconds"`
	Ready         bool        `json:"ready"`
	NotReady      string      `json:"not_ready,omitempty"`
	Backend       string      `json:"backend"`
	BackendWhy    string      `json:"backend_why"`
	Interfaces    []Interface `json:"interfaces"`
	Rules         []RuleJSON  `json:"rules"`
	Sessions      int         `json:"sessions"`
	Running       int         `json:"transfers_running"`
	Ports         PortsJSON   `json:"ports"`
	Pinholes      HolesJSON   `json:"pinholes"`
	Repairs       uint64      `json:"repairs"`
	LastError     string      `json:"last_error,omitempty"`
	Reloads       uint64      `json:"reloads"`
	FailedReloads uint64      `json:"failed_reloads"`
	Reloaded      *time.Time  `json:"reloaded,omitempty"`
	ReloadError   string      `json:"reload_error,omitempty"`
	Audit         AuditJSON   `json:"audit"`
	Warnings      []string    `json:"warnings"`
	TurnedAway    []AwayJSON  `json:"turned_away"`
}

// AwayJSON are the connections of one client that got no session for one reason.
type AwayJSON struct {
	Client    string    `json:"client"` // an address; of IPv6 its /64
	From      string    `json:"from"`   // the last one
	Dialled   string    `json:"dialled"`
	Rule      string    `json:"rule,omitempty"`
	Reason    string    `json:"reason"`
	Count     uint64    `json:"count"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Reply     string    `json:"reply"`
	Diagnosis string    `json:"diagnosis"`
}

// RuleJSON is a rule with its counters.
type RuleJSON struct {
	Name      string   `json:"name"`
	Direction string   `json:"direction"`
	Ports     []uint16 `json:"ports"`
	Limit     int      `json:"limit_sessions"`
	Sessions  int      `json:"sessions"`
	Begun     uint64   `json:"sessions_begun"`
	Done      uint64   `json:"transfers_done"`
	Failed    uint64   `json:"transfers_failed"` // failed, refused and unused
	Bytes     uint64   `json:"bytes"`
}

// PortsJSON is the use of data_ports.
type PortsJSON struct {
	Size    int    `json:"size"`
	Lent    int    `json:"lent"`
	Resting int    `json:"resting"`
	Refused uint64 `json:"refused"`
}

// HolesJSON counts pinholes.
type HolesJSON struct {
	Open     int    `json:"open"`
	Opened   uint64 `json:"opened"`
	Used     uint64 `json:"used"`
	Expired  uint64 `json:"expired"`
	Released uint64 `json:"released"`
	Failed   uint64 `json:"failed"`
}

// AuditJSON is the state of the audit files.
type AuditJSON struct {
	Written uint64 `json:"written"`
	Lost    uint64 `json:"lost"`
	Error   string `json:"error,omitempty"`
}

// SessionsJSON is GET /api/v1/sessions?after=ID&limit=N, a page (default 100,
// at most 1000). Next is the after of the next page; 0: this is the last one.
type SessionsJSON struct {
	Total    int           `json:"total"`
	Next     uint64        `json:"next,omitempty"`
	Sessions []SessionJSON `json:"sessions"`
}

// SessionJSON is a session.
type SessionJSON struct {
	ID              uint64        `json:"id"`
	Rule            string        `json:"rule"`
	Direction       string        `json:"direction"`
	User            string        `json:"user"`
	LoggedIn        bool          `json:"logged_in"`
	Client          string        `json:"client"`
	Dialled         string        `json:"dialled"`
	SeenAs          string        `json:"seen_as,omitempty"`
	Server          string        `json:"server"`
	ClientInterface string        `json:"client_interface"`
	ServerInterface string        `json:"server_interface,omitempty"`
	Began           time.Time     `json:"began"`
	Idle            float64       `json:"idle_seconds"`
	TLS             bool          `json:"tls"`
	Transfers       int           `json:"transfers"`
	Failed          int           `json:"failed"`
	Bytes           uint64        `json:"bytes"`
	Pinhole         string        `json:"pinhole,omitempty"`
	Transfer        *TransferJSON `json:"transfer,omitempty"`
}

// PinholesJSON is GET /api/v1/pinholes.
type PinholesJSON struct {
	Pinholes []PinholeJSON `json:"pinholes"`
}

// The states of a pinhole.
const (
	HoleWaits = "waiting" // for its connection
	HoleUsed  = "used"    // it admits nobody any more
)

// PinholeJSON is one that is in place. What is known of the connection that it
// waits for is told once it has waited for a while.
type PinholeJSON struct {
	ID          uint64   `json:"id"`
	Session     uint64   `json:"session"`
	State       string   `json:"state"`
	Interface   string   `json:"interface"`
	Source      string   `json:"source"`
	SourcePort  uint16   `json:"source_port,omitempty"`
	Destination string   `json:"destination"`
	Target      string   `json:"target,omitempty"`
	SourceAs    string   `json:"source_as,omitempty"`
	Waited      float64  `json:"waited_seconds"`
	Expires     float64  `json:"expires_in_seconds"` // 0 where it has been used
	Cause       string   `json:"cause,omitempty"`
	Diagnosis   string   `json:"diagnosis,omitempty"`
	Evidence    []string `json:"evidence,omitempty"`
}

// TransfersJSON is GET /api/v1/transfers?failed=true&limit=N, newest first.
type TransfersJSON struct {
	Transfers []TransferJSON `json:"transfers"`
}

// TransferJSON is a transfer.
type TransferJSON struct {
	Session   uint64    `json:"session"`
	Time      time.Time `json:"time"`
	Duration  float64   `json:"duration_seconds"`
	Rule      string    `json:"rule"`
	Direction string    `json:"direction"`
	User      string    `json:"user"`
	Client    string    `json:"client"`
	Server    string    `json:"server"`
	Verb      string    `json:"verb"`
	Path      string    `json:"path"`
	Kind      string    `json:"kind"`
	Mode      string    `json:"mode"`
	Bytes     uint64    `json:"bytes"`
	Result    string    `json:"result"`
	Reply     string    `json:"reply,omitempty"`
	Cause     string    `json:"cause,omitempty"`
	Diagnosis string    `json:"diagnosis,omitempty"`
	Evidence  []string  `json:"evidence,omitempty"`
}

// HistoryJSON is GET /api/v1/history: the last 15 minutes, a sample every five
// seconds, oldest first.
type HistoryJSON struct {
	Step    float64      `json:"step_seconds"`
	Samples []SampleJSON `json:"samples"`
}

// SampleJSON is one moment.
type SampleJSON struct {
	Time     time.Time `json:"time"`
	Sessions int       `json:"sessions"`
	Pinholes int       `json:"pinholes"`
	Bytes    float64   `json:"bytes_per_second"`
	Files    float64   `json:"transfers_per_second"`
	Failures float64   `json:"failures_per_second"`
}
