package proxy

import (
	"bufio"
	"context"
	"net"
	"net/netip"
	"testing"

	"go.uber.org/zap"

	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/nat"
	"github.com/ftpgate/ftpgate/proxy/policy"
)

// loopback is a Network of real sockets on this machine.
type loopback struct{ server string }

func (l loopback) Arrival(c net.Conn) (policy.Arrival, Way, error) {
	return policy.Arrival{Client: addrPort(c.RemoteAddr()), Dialled: at("198.51.100.7:21"), FromLAN: true, ToWAN: true}, Way{Via: "lan0"}, nil
}

func (l loopback) Egress(_, _ netip.Addr, _ uint32) (string, bool, error) { return "wan0", true, nil }

func (l loopback) Steer(_, _ netip.Addr, _, _ string) (uint32, error) { return 0, nil }

func (l loopback) Dial(ctx context.Context, _, _ netip.AddrPort, _ netip.Addr, _ Way) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", l.server)
}

// established is a logged-in session over real sockets: what the client writes
// comes out at the server, and back.
func established(tb testing.TB) (client, server net.Conn) {
	tb.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { l.Close() })
		return l
	}
	servers, gateways := listen(), listen()
	manager := firewall.NewManager(&fakeKernel{}, firewall.Options{})
	gateway := &Server{Pinholes: manager, Expect: (&fakeFlows{}).expect, Log: zap.NewNop()}
	gateway.Apply(&Settings{
		Rules: policy.Rules{openRule(policy.Outbound)}, Network: loopback{servers.Addr().String()}, Ports: nat.NewPorts(50001, 50001),
	})
	go gateway.Serve(gateways)
	client, err := net.Dial("tcp", gateways.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	if server, err = servers.Accept(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		client.Close()
		server.Close()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		gateway.Shutdown(ctx)
	})
	say := func(from, to net.Conn, line string) {
		if _, err := from.Write([]byte(line)); err != nil {
			tb.Fatal(err)
		}
		if got, err := bufio.NewReader(to).ReadString('\n'); got != line {
			tb.Fatal(got, err)
		}
	}
	say(server, client, "220 ready\r\n")
	say(client, server, "USER a\r\n")
	say(server, client, "230 in\r\n")
	return client, server
}

// exchangeLines passes one command and its reply through the session.
func exchangeLines(tb testing.TB, client, server net.Conn, buf []byte) {
	pass := func(from, to net.Conn, line []byte) {
		if _, err := from.Write(line); err != nil {
			tb.Fatal(err)
		}
		for got := 0; got < len(line); {
			n, err := to.Read(buf)
			if err != nil {
				tb.Fatal(err)
			}
			got += n
		}
	}
	pass(client, server, noopLine)
	pass(server, client, okLine)
}

var noopLine, okLine = []byte("NOOP\r\n"), []byte("200 Zzz...\r\n")

// BenchmarkPassThrough is a command and its reply that need no rewriting, over
// two real connections.
func BenchmarkPassThrough(b *testing.B) {
	client, server := established(b)
	buf := make([]byte, 512)
	b.ReportAllocs()
	for b.Loop() {
		exchangeLines(b, client, server, buf)
	}
}
