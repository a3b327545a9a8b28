//go:build kernel

package page_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/proxy/status"
	"github.com/ftpgate/ftpgate/proxy/status/page"
)

const (
	hostileUser = `<script>document.title='owned'</script>`
	hostilePath = "/in/\"><img src=x onerror=\"document.title='owned'\">/\u202egnp.exe"
	// sentence is the diagnosis that an administrator comes for.
	sentence = "The client never connected: a SYN from 192.168.50.23 to 198.51.100.20:50217 was awaited by lan0 for 15s, and none came. " +
		"Something between the client and this router keeps it, or the client did not understand the address."
	// noRule is why a client gets no session.
	noRule = "There is no rule for an inbound connection from 203.0.113.66 to 198.51.100.20:21: of each rule the direction, clients, servers or ports are others."
	// soFar is what is known while the pinhole still waits.
	soFar = "No SYN has come so far: the client's, from 192.168.50.23 to 198.51.100.20:50217 by lan0, has been awaited for 48.6s."
)

// gateway is an endpoint that tells of a gateway which exists in this file only.
type gateway struct {
	*httptest.Server
	crowd     int // sessions at rest, beside those below
	unhealthy bool
	began     time.Time
	asked     atomic.Int64 // requests of the API
	broken    atomic.Value // string: the part of the API that answers with refusal
	refusal   atomic.Int64 // a code of HTTP
	strangers atomic.Int64 // requests of what nobody serves
}

// newGateway starts one, with the policy that the real endpoint has.
func newGateway(t *testing.T, crowd int, unhealthy bool) *gateway {
	g := &gateway{crowd: crowd, unhealthy: unhealthy, began: time.Now()}
	mux := http.NewServeMux()
	files := http.FileServerFS(page.Files)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			if f, err := page.Files.Open(r.URL.Path[1:]); err != nil {
				g.strangers.Add(1)
			} else {
				f.Close()
			}
		}
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		files.ServeHTTP(w, r)
	})
	answer := func(path string, value func(*http.Request) any) {
		mux.HandleFunc("GET /api/v1/"+path, func(w http.ResponseWriter, r *http.Request) {
			g.asked.Add(1)
			if g.broken.Load() == path {
				w.WriteHeader(int(g.refusal.Load()))
				return
			}
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(value(r)); err != nil {
				t.Errorf("GET %s: %v", r.URL, err)
			}
		})
	}
	answer("status", func(*http.Request) any { return g.status() })
	answer("sessions", func(r *http.Request) any { return g.sessions(r) })
	answer("pinholes", func(*http.Request) any { return status.PinholesJSON{Pinholes: pinholes()} })
	answer("history", func(*http.Request) any { return history() })
	answer("transfers", func(r *http.Request) any {
		failed := failures(g.began)
		if r.FormValue("failed") == "true" {
			return status.TransfersJSON{Transfers: failed}
		}
		return status.TransfersJSON{Transfers: append(successes(g.began), failed...)}
	})
	g.Server = httptest.NewServer(mux)
	t.Cleanup(g.Close)
	return g
}

// awaitAsked waits until the page has asked so many times; six are one look at everything.
func (g *gateway) awaitAsked(t *testing.T, times int64) {
	t.Helper()
	for deadline := time.Now().Add(patience); g.asked.Load() < times; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the page asks no more")
		}
	}
}

func (g *gateway) status() status.StatusJSON {
	s := status.StatusJSON{
		Version: "v0.4.0", Began: g.began.Add(-76 * time.Hour), Uptime: (76*time.Hour + time.Since(g.began)).Seconds(), Ready: true,
		Backend: "nftables", BackendWhy: "auto: the kernel has all that the rules need",
		Interfaces: []status.Interface{
			{Name: "lan0", Side: "lan", Up: true, Present: true, Addresses: []string{"192.168.50.1", "fd50::1", "2001:db8:50::1"}},
			{Name: "wan0", Side: "wan", Up: true, Present: true, Addresses: []string{"198.51.100.20", "2001:db8:100::20"}},
			{Name: "wan1", Side: "wan", Present: true},
		},
		Rules: []status.RuleJSON{
			{Name: "office", Direction: "outbound", Ports: []uint16{21, 2121}, Limit: 500, Sessions: 5 + g.crowd, Begun: 48213, Done: 190442, Failed: 1204, Bytes: 3_412_882_113_440},
			{Name: "ftp.example.org", Direction: "inbound", Ports: []uint16{21}, Limit: 200, Sessions: 2, Begun: 9120, Done: 30112, Failed: 96, Bytes: 412_882_113_440},
		},
		Sessions: 7 + g.crowd,
		Ports:    status.PortsJSON{Size: 2000, Lent: 6, Resting: 3},
		Pinholes: status.HolesJSON{Open: 2, Opened: 231_774, Used: 230_102, Expired: 1_244, Released: 426, Failed: 2},
		Repairs:  1, Reloads: 3, Audit: status.AuditJSON{Written: 220_554},
		Warnings: []string{"net.netfilter.nf_conntrack_tcp_loose is 1: connections that began before a restart are taken for known. Cure: sysctl -w net.netfilter.nf_conntrack_tcp_loose=0"},
	}
	s.TurnedAway = []status.AwayJSON{{Client: "203.0.113.66", From: "203.0.113.66:40112", Dialled: "198.51.100.20:21", Reason: "no_rule", Count: 1204,
		First: g.began.Add(-time.Hour), Last: g.began.Add(-time.Minute), Reply: "421 This connection is not allowed here.", Diagnosis: noRule}}
	if g.unhealthy {
		s.Ready, s.NotReady = false, "interface wan1 is down"
		s.LastError = "nftables: opening a pinhole: netlink receive: no buffer space available"
		s.Audit.Lost, s.Audit.Error = 12, "/var/log/ftpgate/audit.json: no space left on device"
	}
	return s
}

func (g *gateway) sessions(r *http.Request) status.SessionsJSON {
	all := append(liveSessions(g.began), crowd(g.began, g.crowd)...)
	after, _ := strconv.ParseUint(r.FormValue("after"), 10, 64)
	limit, _ := strconv.Atoi(r.FormValue("limit"))
	answer := status.SessionsJSON{Total: len(all)}
	for _, s := range all {
		if s.ID <= after {
			continue
		}
		if len(answer.Sessions) == limit {
			answer.Next = answer.Sessions[limit-1].ID
			break
		}
		answer.Sessions = append(answer.Sessions, s)
	}
	return answer
}

// liveSessions carry what somebody watches; the first one moves 25 MB each second.
func liveSessions(began time.Time) []status.SessionJSON {
	outbound := func(id uint64, user, client, server string) status.SessionJSON {
		return status.SessionJSON{ID: id, Rule: "office", Direction: "outbound", User: user, LoggedIn: true, Client: client, Dialled: server,
			SeenAs: fmt.Sprintf("198.51.100.20:%d", 1024+id), Server: server, ClientInterface: "lan0", ServerInterface: "wan0",
			Began: began.Add(-12 * time.Minute), Idle: 3, Transfers: 14, Bytes: 91_220_331}
	}
	moved := uint64(time.Since(began).Seconds() * 25e6)
	download := outbound(4101, "anna", "192.168.50.10:41022", "203.0.113.80:21")
	download.Bytes += 400_000_000 + moved
	download.Transfer = &status.TransferJSON{Session: 4101, Time: began.Add(-48 * time.Second), Duration: 48 + time.Since(began).Seconds(),
		Verb: "RETR", Path: "/pub/debian/dists/bookworm/main/installer-amd64/current/images/netboot/mini.iso", Kind: "download", Mode: "passive",
		Bytes: 400_000_000 + moved, Result: "running"}
	hangs := outbound(4102, "scanner", "192.168.50.23:50612", "203.0.113.80:21")
	hangs.Failed, hangs.Pinhole = 3, "192.168.50.23 to 198.51.100.20:50217 by lan0"
	hostile := outbound(4103, hostileUser, "[fd50::aa17:4c2f:9e01:21b3]:49822", "[2001:db8:ffff:12::1af0]:21")
	tls := outbound(4104, "", "192.168.50.61:33108", "203.0.113.9:21")
	tls.TLS, tls.LoggedIn, tls.Transfers, tls.Bytes = true, false, 0, 0
	waiting := outbound(4105, "backup", "192.168.50.77:39110", "203.0.113.44:2121")
	waiting.LoggedIn, waiting.SeenAs, waiting.ServerInterface, waiting.Transfers, waiting.Bytes = false, "", "", 0, 0
	upload := status.SessionJSON{ID: 4106, Rule: "ftp.example.org", Direction: "inbound", User: "upload@example.org", LoggedIn: true,
		Client: "203.0.113.200:61544", Dialled: "198.51.100.20:21", SeenAs: "203.0.113.200:61544", Server: "192.168.50.5:21",
		ClientInterface: "wan0", ServerInterface: "lan0", Began: began.Add(-90 * time.Second), Transfers: 2, Bytes: 8_112_004,
		Transfer: &status.TransferJSON{Session: 4106, Time: began.Add(-5 * time.Second), Duration: 5, Verb: "STOR", Path: hostilePath,
			Kind: "upload", Mode: "active", Bytes: 7_200_000, Result: "running"}}
	quiet := outbound(4107, "camera-7", "192.168.50.90:40001", "203.0.113.44:21")
	quiet.Idle, quiet.Transfers, quiet.Bytes = 244, 1882, 5_112_004_118
	return []status.SessionJSON{download, hangs, hostile, tls, waiting, upload, quiet}
}

// crowd is how many more, at rest.
func crowd(began time.Time, n int) []status.SessionJSON {
	list := make([]status.SessionJSON, 0, n)
	for i := range n {
		list = append(list, status.SessionJSON{ID: uint64(10_000 + i), Rule: "office", Direction: "outbound", User: fmt.Sprintf("robot%d", i),
			LoggedIn: true, Client: fmt.Sprintf("192.168.51.%d:%d", i%250+1, 30000+i), Dialled: "203.0.113.80:21", Server: "203.0.113.80:21",
			SeenAs: "198.51.100.20:1200", ClientInterface: "lan0", ServerInterface: "wan0", Began: began, Idle: 60})
	}
	return list
}

func pinholes() []status.PinholeJSON {
	return []status.PinholeJSON{
		{ID: 231773, Session: 4102, State: status.HoleWaits, Interface: "lan0", Source: "192.168.50.23", Destination: "198.51.100.20:50217",
			Target: "203.0.113.80:40112", SourceAs: "198.51.100.20", Waited: 48.6, Expires: 11.4, Diagnosis: soFar, Evidence: []string{"packets at the pinhole: 0"}},
		{ID: 231774, Session: 4106, State: status.HoleWaits, Interface: "lan0", Source: "192.168.50.5", SourcePort: 20, Destination: "203.0.113.200:61545", Expires: 58.2},
		{ID: 231772, Session: 4101, State: status.HoleUsed, Interface: "lan0", Source: "192.168.50.10", Destination: "203.0.113.80:40111"},
	}
}

func failures(began time.Time) []status.TransferJSON {
	return []status.TransferJSON{
		{Session: 4102, Time: began.Add(-40 * time.Second), Duration: 15.02, Rule: "office", Direction: "outbound", User: "scanner",
			Client: "192.168.50.23:50612", Server: "203.0.113.80:21", Verb: "LIST", Kind: "listing", Mode: "passive", Result: "failed",
			Reply: "425 Failed to establish connection.", Cause: "never_connected", Diagnosis: sentence, Evidence: []string{
				"expected: SYN from 192.168.50.23 to 198.51.100.20:50217 by lan0, from 14:02:11.204 on; announced as 203.0.113.80:40112",
				"the pinhole expired unused after 15s", "packets at the pinhole: 0", `last reply: "425 Failed to establish connection."`}},
		{Session: 4103, Time: began.Add(-3 * time.Minute), Duration: 0.04, Rule: "office", Direction: "outbound", User: hostileUser,
			Client: "[fd50::aa17:4c2f:9e01:21b3]:49822", Server: "[2001:db8:ffff:12::1af0]:21", Verb: "STOR", Path: hostilePath, Kind: "upload",
			Mode: "passive", Result: "failed", Reply: "550 Permission denied.", Cause: "server_refused",
			Diagnosis: `The server answered "550 Permission denied.".`, Evidence: []string{`last reply: "550 Permission denied."`}},
		{Session: 4090, Time: began.Add(-9 * time.Minute), Duration: 0.8, Rule: "ftp.example.org", Direction: "inbound", User: "upload@example.org",
			Client: "203.0.113.200:61020", Server: "192.168.50.5:21", Verb: "MLSD", Path: "/incoming", Kind: "listing", Mode: "passive",
			Result: "unused", Cause: "from_elsewhere",
			Diagnosis: "A connection for this pinhole came from 203.0.113.201, but the client's control connection comes from 203.0.113.200: another address is not admitted.",
			Evidence:  []string{"refused: SYN from 203.0.113.201:61021 to 198.51.100.20:50002 by wan0 at 13:53:40.118"}},
	}
}

func successes(began time.Time) []status.TransferJSON {
	list := []status.TransferJSON{}
	for i, path := range []string{"invoices/2026-11/44192.pdf", "invoices/2026-11/44191.pdf", "firmware/cam7-4.1.2.bin", "", "backup/db-2026-11-25.sql.zst"} {
		t := status.TransferJSON{Session: uint64(4050 + i), Time: began.Add(-time.Duration(20*i+2) * time.Second), Duration: 0.4 + float64(i*i),
			Rule: "office", Direction: "outbound", User: "anna", Client: "192.168.50.10:41022", Server: "203.0.113.80:21", Verb: "RETR", Path: path,
			Kind: "download", Mode: "passive", Bytes: uint64(math.Pow(12, float64(i+4))), Result: "done", Reply: "226 Transfer complete."}
		if path == "" {
			t.Verb, t.Kind, t.Mode, t.Reply, t.Bytes = "NLST", "listing", "active", "226 Directory send OK.", 1822
		}
		list = append(list, t)
	}
	return list
}

// history is a calm quarter of an hour with one outage.
func history() status.HistoryJSON {
	const step, samples = 5, 180
	h := status.HistoryJSON{Step: step}
	now := time.Now().Truncate(step * time.Second)
	for i := range samples {
		x := float64(i)
		s := status.SampleJSON{Time: now.Add(time.Duration(i-samples+1) * step * time.Second), Sessions: 7 + int(5*math.Sin(x/31)+x/18),
			Pinholes: int(2 + 2*math.Sin(x/7)), Bytes: 24e6 + 9e6*math.Sin(x/13) + 6e6*math.Sin(x/3.1), Files: 1.6 + 0.9*math.Sin(x/9)}
		if i%37 < 4 {
			s.Failures = 0.2
		}
		h.Samples = append(h.Samples, s)
	}
	return h
}
