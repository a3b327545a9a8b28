package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/nat"
	"github.com/ftpgate/ftpgate/proxy/policy"
)

// lab is a gateway in memory: real Server, real Manager, real Ports; the
// kernel, the network and the clock are not.
type lab struct {
	t        *testing.T
	gateway  *Server
	manager  *firewall.Manager
	kernel   *fakeKernel
	network  *fakeNetwork
	flows    *fakeFlows
	logs     *observer.ObservedLogs
	settings Settings
}

func newLab(t *testing.T, rule *policy.Rule, addresses addressing, pool [2]uint16) *lab {
	core, logs := observer.New(zapcore.DebugLevel)
	l := &lab{t: t, kernel: &fakeKernel{}, flows: &fakeFlows{}, logs: logs}
	l.network = &fakeNetwork{addressing: addresses}
	l.manager = firewall.NewManager(l.kernel, firewall.Options{Log: zap.NewNop()})
	frame := firewall.Frame{Mark: 1, PinholeMark: 2, Mask: 3, ListenPort: 2121, IPv4: true, IPv6: true}
	if err := l.manager.Start(frame); err != nil {
		t.Fatal(err)
	}
	l.gateway = &Server{Pinholes: l.manager, Expect: l.flows.expect, Holds: l.network.holds, Log: zap.New(core)}
	l.settings = Settings{Rules: policy.Rules{rule}, Network: l.network, Ports: nat.NewPorts(pool[0], pool[1])}
	l.gateway.Apply(&l.settings)
	return l
}

// connect lets a client dial; it returns the client's end and, if the gateway
// dials the server, that server's end.
func (l *lab) connect(from netip.AddrPort) (client, server *memConn) {
	client, taken := memConnect(net.TCPAddrFromAddrPort(from), net.TCPAddrFromAddrPort(l.network.dialled))
	l.network.accepted = nil
	go l.gateway.handle(taken)
	synctest.Wait()
	return client, l.network.accepted
}

// stop ends everything, so that no goroutine outlives the bubble, and sees
// whether the sessions have given everything back.
func (l *lab) stop() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	l.gateway.Shutdown(ctx)
	time.Sleep(settleTime)
	synctest.Wait()
	if !l.t.Failed() {
		l.checkEmpty()
	}
	if err := l.manager.Stop(); err != nil {
		l.t.Error(err)
	}
	synctest.Wait()
}

// settleTime is longer than the firewall takes to remove used pinholes.
const settleTime = 2 * time.Second

func (l *lab) checkEmpty() {
	if holes := l.kernel.holes(); len(holes) > 0 {
		l.t.Errorf("still open after the end: %q", holes)
	}
	if lent := l.settings.Ports.Stats().Lent; lent > 0 {
		l.t.Errorf("%d ports are still lent after the end", lent)
	}
	if n := l.flows.watched(); n > 0 {
		l.t.Errorf("%d data connections are still watched after the end", n)
	}
	if n := len(l.gateway.sessions) + len(l.gateway.perRule) + len(l.gateway.perHost); n > 0 {
		l.t.Errorf("%d sessions are still counted after the end", n)
	}
}

// addressing is who is who in a dialogue.
type addressing struct {
	client, dialled netip.AddrPort
	local           netip.Addr // of the gateway, toward the server
	fromLAN         bool
	isLocal         bool
}

type fakeNetwork struct {
	addressing
	unreachable bool
	hanging     bool
	accepted    *memConn // the server's end of the last connection
	gone        sync.Map // addresses that the host has lost
}

func (n *fakeNetwork) holds(address netip.Addr) bool {
	_, gone := n.gone.Load(address)
	return !gone
}

func (n *fakeNetwork) Arrival(c net.Conn) (policy.Arrival, Way, error) {
	via := "wan0"
	if n.fromLAN {
		via = "lan0"
	}
	return policy.Arrival{
		Client: addrPort(c.RemoteAddr()), Dialled: addrPort(c.LocalAddr()), FromLAN: n.fromLAN, Local: n.isLocal, ToWAN: n.fromLAN && !n.isLocal,
	}, Way{Via: via}, nil
}

func (n *fakeNetwork) Egress(to, _ netip.Addr, _ uint32) (string, bool, error) {
	lan := to.IsPrivate() || netip.MustParsePrefix("2001:db8:1::/64").Contains(to)
	if lan {
		return "lan0", false, nil
	}
	return "wan0", true, nil
}

func (n *fakeNetwork) Steer(_, _ netip.Addr, _, _ string) (uint32, error) { return 0, nil }

func (n *fakeNetwork) Dial(ctx context.Context, server, as netip.AddrPort, _ netip.Addr, _ Way) (net.Conn, error) {
	if n.unreachable {
		return nil, errors.New("connection refused")
	}
	if n.hanging {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	local := netip.AddrPortFrom(n.local, 40000)
	if as.IsValid() {
		local = netip.AddrPortFrom(as.Addr(), 20000)
	}
	ours, theirs := memConnect(net.TCPAddrFromAddrPort(local), net.TCPAddrFromAddrPort(server))
	n.accepted = theirs
	return ours, nil
}

// fakeKernel is a firewall.Backend that remembers.
type fakeKernel struct {
	mu    sync.Mutex
	open  []firewall.Hole
	fails bool
	log   []string // every hole ever opened
}

func (k *fakeKernel) Name() string                 { return "fake" }
func (k *fakeKernel) Install(firewall.Frame) error { return nil }
func (k *fakeKernel) Remove() error                { return nil }
func (k *fakeKernel) Verify([]firewall.Hole) (firewall.Found, error) {
	return firewall.Found{}, nil
}

func (k *fakeKernel) Apply(open, shut []firewall.Hole) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fails && len(open) > 0 {
		return errors.New("iptables-restore: line 3 failed")
	}
	k.open = slices.DeleteFunc(append(k.open, open...), func(h firewall.Hole) bool {
		return slices.ContainsFunc(shut, func(s firewall.Hole) bool { return s.ID == h.ID })
	})
	for _, h := range open {
		k.log = append(k.log, h.Pinhole.String())
	}
	return nil
}

// holes are the open pinholes as text, in the order of their opening.
func (k *fakeKernel) holes() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var texts []string
	for _, h := range k.open {
		texts = append(texts, h.Pinhole.String())
	}
	return texts
}

func (k *fakeKernel) fail(fails bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fails = fails
}

// admits tells whether a connection has a pinhole to come by.
func (k *fakeKernel) admits(source netip.Addr, destination netip.AddrPort) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.ContainsFunc(k.open, func(h firewall.Hole) bool {
		return h.Source == source && h.Destination == destination
	})
}

// logged tells whether a line of the log contains the text, fields included.
func (l *lab) logged(text string) bool {
	return slices.ContainsFunc(l.lines(), func(line string) bool { return strings.Contains(line, text) })
}

func (l *lab) lines() (lines []string) {
	for _, e := range l.logs.All() {
		lines = append(lines, fmt.Sprintf("%s %s %v", e.Level, e.Message, e.ContextMap()))
	}
	return lines
}

// openRule admits everything; tests restrict it.
func openRule(direction policy.Direction) *policy.Rule {
	any := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	return &policy.Rule{
		Name: "test", Direction: direction, Clients: any, Servers: any, Ports: []uint16{21},
		PreserveClientAddress: direction == policy.Inbound, Active: true, Passive: true,
		ForeignAddress: policy.Refuse, TLS: policy.Passthrough,
		Commands: policy.Commands{Preset: policy.Full},
		Limits:   policy.Limits{Sessions: 1000, SessionsPerClient: 50, LoginFailures: 5},
		Timeouts: policy.Timeouts{Login: 2 * time.Minute, Idle: 15 * time.Minute, Connect: 15 * time.Second, DataIdle: 15 * time.Minute},
	}
}

// deadlineContext ends after the duration; nobody has to cancel it.
func deadlineContext(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	context.AfterFunc(ctx, cancel)
	return ctx
}
