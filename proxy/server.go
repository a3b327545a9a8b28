// Package proxy is the conversation: it takes FTP control connections over,
// follows what client and server say to each other (RFC 959, RFC 2428), and
// has ports lent and pinholes opened for exactly the data connections that
// they agree on.
package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/nat"
	"github.com/ftpgate/ftpgate/proxy/policy"
)

const (
	// resolveTime bounds the look-up of an advertised host name.
	resolveTime = 5 * time.Second
	// acceptPause is the rest after a failed accept (out of files, say), so
	// that the failure does not spin.
	acceptPause = 50 * time.Millisecond
)

// Server accepts control connections and holds their sessions. Set the fields
// and call Apply before Serve.
type Server struct {
	Pinholes Pinholes
	Expect   func(source netip.Addr, destination netip.AddrPort) Flow // watches for a data connection
	Clear    func(listener, connector netip.AddrPort)                 // forgets one that is over; nil: nothing is kept
	Log      *zap.Logger
	Witness  Witness               // what the host has seen; nil: nothing
	Holds    func(netip.Addr) bool // whether an address is the host's own; nil: they never change
	Done     func(Transfer)        // takes each account of a transfer, and must not block; nil: nobody does

	journal  journal
	mu       sync.Mutex
	settings *Settings
	sessions map[uint64]*session
	perRule  map[string]int
	perHost  map[hostRule]int
	lastID   uint64
	carried  uint64      // by sessions that are gone
	most     uint64      // that Carried has told
	losses   *time.Timer // looks again at sessions that have lost their address; nil: there has been none
	closing  bool
	running  sync.WaitGroup
}

// Pinholes opens pinholes, and tells which are in place; *firewall.Manager does.
type Pinholes interface {
	Open(ctx context.Context, p firewall.Pinhole) (*firewall.Lease, error)
	Holes() []firewall.Standing
}

// hostRule is a client under a rule. Over IPv6 a client is its /64, from which
// it can have as many addresses as it likes (RFC 8981).
type hostRule struct {
	client netip.Prefix
	rule   string
}

func hostUnder(rule string, client netip.Addr) hostRule {
	bits := 64
	if client.Is4() {
		bits = 32
	}
	network, _ := client.Prefix(bits) // both fit
	return hostRule{network, rule}
}

// Settings are what a reload of the configuration may replace. A session keeps
// those that it began with.
type Settings struct {
	Rules   policy.Rules
	Network Network
	Ports   *nat.Ports
	// Advertise tells the address to announce on the WAN side instead of the
	// real one; nil where no other translation lies in front of the router. An
	// invalid address means that nothing is advertised for the family.
	Advertise func(ctx context.Context, ipv4 bool) (netip.Addr, error)
}

// Apply sets the settings for connections to come. They must not be changed
// afterwards.
func (g *Server) Apply(settings *Settings) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.settings = settings
}

func (g *Server) current() *Settings {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.settings
}

// Serve accepts connections until the listener is closed. It may be called for
// several listeners. A failing accept is logged and tried again.
func (g *Server) Serve(l net.Listener) error {
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			g.Log.Warn("a connection could not be accepted", zap.Error(err))
			time.Sleep(acceptPause)
			continue
		}
		go g.handle(conn)
	}
}

// handle carries one connection from its arrival to the beginning of its
// dialogue, or to its end if there is none.
func (g *Server) handle(conn net.Conn) {
	settings := g.current()
	arrival, way, err := settings.Network.Arrival(conn)
	if err != nil {
		g.turnAway(conn, policy.Arrival{Client: addrPort(conn.RemoteAddr()), Dialled: addrPort(conn.LocalAddr())}, "",
			&policy.Refusal{Reason: policy.UnknownWay, Code: 421, Say: "This connection is not allowed here.", Why: err.Error()})
		return
	}
	s, rule, err := g.admit(settings, arrival)
	if err != nil {
		g.turnAway(conn, arrival, rule, err)
		return
	}
	begun := false
	defer func() {
		if !begun {
			g.dismiss(s)
		}
	}()
	defer s.rescue()
	s.clientLeg.via, s.clientLeg.wan = way.Via, !arrival.FromLAN
	s.serverLeg.mark = way.Mark
	server, err := g.dial(s, arrival)
	if err != nil {
		g.turnAway(conn, arrival, rule, err)
		return
	}
	begun = s.converse(conn, server)
}

// admit finds the rule and counts the session under its limits. It names the rule
// also where its limits refuse.
func (g *Server) admit(settings *Settings, a policy.Arrival) (s *session, name string, err error) {
	rule, server, err := settings.Rules.Decide(a)
	if err != nil {
		return nil, "", err
	}
	host := hostUnder(rule.Name, a.Client.Addr())
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closing:
		return nil, rule.Name, &policy.Refusal{Reason: policy.Stopping, Code: 421, Say: "Service is closing.", Why: "the gateway is stopping"}
	case g.perRule[rule.Name] >= rule.Limits.Sessions:
		return nil, rule.Name, &policy.Refusal{Reason: policy.SessionLimit, Code: 421, Say: "Too many sessions, try again later.", Why: "limits.sessions is reached"}
	case g.perHost[host] >= rule.Limits.SessionsPerClient:
		return nil, rule.Name, &policy.Refusal{Reason: policy.SessionLimit, Code: 421, Say: "Too many sessions from your address.", Why: "limits.sessions_per_client is reached"}
	}
	if g.sessions == nil {
		g.sessions, g.perRule, g.perHost = make(map[uint64]*session), make(map[string]int), make(map[hostRule]int)
	}
	g.lastID++
	s = newSession(g, settings, g.lastID, rule)
	s.clientLeg = leg{peer: a.Client, local: a.Dialled, ours: a.Local}
	s.serverLeg = leg{peer: server}
	g.running.Add(1)
	g.sessions[s.id] = s
	g.perRule[rule.Name]++
	g.perHost[host]++
	return s, rule.Name, nil
}

// dismiss undoes admit.
func (g *Server) dismiss(s *session) {
	defer g.running.Done()
	s.locked(s.forget)
	g.mu.Lock()
	defer g.mu.Unlock()
	host := hostUnder(s.rule.Name, s.clientLeg.peer.Addr())
	delete(g.sessions, s.id)
	g.carried += s.tally.bytes // nobody else knows the session any more
	if g.perRule[s.rule.Name]--; g.perRule[s.rule.Name] == 0 {
		delete(g.perRule, s.rule.Name)
	}
	if g.perHost[host]--; g.perHost[host] == 0 {
		delete(g.perHost, host)
	}
}

// dial connects to the server as the rule wants it to be seen.
func (g *Server) dial(s *session, a policy.Arrival) (net.Conn, error) {
	var as netip.AddrPort
	if s.rule.PreserveClientAddress && !g.sameSegment(s, a) {
		as = a.Client
	}
	conn, err := s.settings.Network.Dial(s.life(), s.serverLeg.peer, as, a.Client.Addr(), Way{s.clientLeg.via, s.serverLeg.mark})
	if err != nil {
		why := err.Error()
		if as.IsValid() && isTimeout(err) {
			why += " (it was dialled with the client's own address: unless this router is the server's way back to the client, set preserve_client_address: false)"
		}
		return nil, &policy.Refusal{Reason: policy.Unreachable, Code: 421, Say: "The server cannot be reached, try again later.", Why: why}
	}
	s.serverLeg.local, s.serverLeg.ours = addrPort(conn.LocalAddr()), !as.IsValid()
	return conn, nil
}

// sameSegment reports whether a LAN client that dialled the public address
// sits on the server's own segment. The server would answer such a client
// directly, past the router, so it must see the router instead.
func (g *Server) sameSegment(s *session, a policy.Arrival) bool {
	if !a.FromLAN || !a.Local {
		return false
	}
	via, err := s.interfaceOf(&s.serverLeg)
	return err == nil && via == s.clientLeg.via
}

// turnAway answers a connection that gets no session.
func (g *Server) turnAway(conn net.Conn, a policy.Arrival, rule string, err error) {
	refusal := asRefusal(err)
	g.journal.turn(a, rule, refusal)
	g.Log.Info("refused",
		zap.Stringer("client", a.Client), zap.Stringer("dialled", a.Dialled), zap.String("rule", rule),
		zap.Int("code", refusal.Code), zap.String("why", refusal.Why))
	conn.SetDeadline(time.Now().Add(lingerTime))
	conn.Write(replyLine(refusal))
	halfClose(conn)
	drain(conn)
	conn.Close()
}

// Shutdown ends every session: new connections are turned away, an idle
// session gets its 421 at once, one in the middle of a command at that
// command's end, the rest when the context ends. Data connections that run go
// on in the kernel. It returns when all sessions are gone; it is idempotent.
func (g *Server) Shutdown(ctx context.Context) {
	g.mu.Lock()
	g.closing = true
	if g.losses != nil {
		g.losses.Stop()
	}
	sessions := make([]*session, 0, len(g.sessions))
	for _, s := range g.sessions {
		sessions = append(sessions, s)
	}
	g.mu.Unlock()
	for _, s := range sessions {
		go s.retire() // one whose client does not read must not hold up the others
	}
	gone := make(chan struct{})
	go func() {
		g.running.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return
	case <-ctx.Done():
	}
	for _, s := range sessions {
		go s.end(ending{say: "421 Service is closing.", why: "the gateway stopped", stop: true})
		sever := time.AfterFunc(lingerTime, s.sever)
		defer sever.Stop()
	}
	<-gone
}

// InUse reports whether a session of these settings is still there.
func (g *Server) InUse(settings *Settings) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.sessions {
		if s.settings == settings {
			return true
		}
	}
	return false
}
