//go:build kernel

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

var variants = []lab.Variant{lab.NFT, lab.Legacy}

// eachVariant runs a test on a router of either iptables.
func eachVariant(t *testing.T, o lab.Options, test func(t *testing.T, r *router)) {
	for _, variant := range variants {
		t.Run(fmt.Sprint(variant), func(t *testing.T) {
			o.Variant = variant
			test(t, newRouter(t, o))
		})
	}
}

var plain = fmt.Sprintf(usualRules, "", "")

// TestNoTrace: whatever way the gateway ends, the host is then as it was.
func TestNoTrace(t *testing.T) {
	eachVariant(t, lab.Options{}, func(t *testing.T, r *router) {
		server := r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{})
		before := r.state()
		same := func(what string) {
			t.Helper()
			if after := r.state(); after != before {
				t.Errorf("%s left traces:\n%s", what, difference(before, after))
			}
		}
		r.start(plain)
		during := r.state()
		if during == before {
			t.Fatal("the gateway changed nothing, so this test shows nothing")
		}
		c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
		roundTrip(t, c, dialogue.PASV, server)
		if _, err := c.Want(227, "PASV"); err != nil { // stays open, unused
			t.Fatal(err)
		}
		r.stop()
		same("SIGTERM")

		r.start(plain)
		second, err := r.Host(lab.Router).Run(t.Context(), gatewayBinary, "run", "--config", r.config)
		if err == nil || !strings.Contains(second, "another ftpgate runs") {
			t.Errorf("a second start was not refused: %v\n%s", err, second)
		}
		if now := r.state(); now != during {
			t.Errorf("a refused second start changed something:\n%s", difference(during, now))
		}

		r.daemon.Kill()
		r.start(plain)
		r.stop()
		same("kill -9, a new start and SIGTERM")

		for _, delay := range []time.Duration{0, 5, 20, 50, 100, 200, 400} {
			p, err := r.Host(lab.Router).Start(gatewayBinary, "run", "--config", r.config)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(delay * time.Millisecond)
			// Twice, as somebody does who is impatient.
			p.Signal(syscall.SIGTERM)
			p.Signal(syscall.SIGTERM)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			// Before the first line of main the kernel itself ends the process.
			if err := p.Wait(ctx); err != nil && err.Error() != "signal: terminated" {
				t.Errorf("SIGTERM after %d ms of start: %v\n%s", delay, err, p.Output())
			}
			cancel()
			same(fmt.Sprintf("SIGTERM after %d ms of start", delay))
		}
	})
}

// difference shows the lines that only one of two texts has.
func difference(a, b string) string {
	count := make(map[string]int)
	for line := range strings.Lines(a) {
		count[line]--
	}
	for line := range strings.Lines(b) {
		count[line]++
	}
	var out strings.Builder
	for _, text := range []string{a, b} {
		for line := range strings.Lines(text) {
			switch n := count[line]; {
			case n < 0:
				fmt.Fprintf(&out, "- %s", line)
			case n > 0:
				fmt.Fprintf(&out, "+ %s", line)
			}
			count[line] = 0
		}
	}
	return out.String()
}

// TestKilledDaemonLeavesNoDoor: an unused pinhole outlives a daemon that is
// killed, and admits nobody any more at the end of its life: the kernel sees to
// that.
func TestKilledDaemonLeavesNoDoor(t *testing.T) {
	eachVariant(t, lab.Options{}, func(t *testing.T, r *router) {
		r.serve(peers.Vsftpd(), lab.Server, peers.ServerOptions{})
		r.start(plain + "firewall: {pinhole_timeout: 4s}\n")
		outside := r.Host(lab.Outside)
		early, late := login(t, outside, "203.0.113.1:21", dialogue.Options{}), login(t, outside, "203.0.113.1:21", dialogue.Options{})
		// The server closes its data port with the control connection, so the
		// door must be judged at the router: by a listener that never leaves.
		open := func(c *dialogue.Client) net.Addr {
			d, err := c.Open(dialogue.PASV)
			if err != nil {
				t.Fatal(err)
			}
			return net.TCPAddrFromAddrPort(d.Announced)
		}
		opened := time.Now()
		a, b := open(early), open(late)
		r.daemon.Kill()
		r.redirectToListener(t)
		if err := r.knock(a); err != nil {
			t.Fatalf("the pinhole is gone at once, so this test shows nothing: %v", err)
		}
		time.Sleep(time.Until(opened.Add(6 * time.Second)))
		if r.knock(b) == nil {
			t.Error("the pinhole of a killed daemon is open after its life")
		}
		rules := r.state()
		for _, what := range map[string][]string{
			"iptables": {"--datestop"},
			"nftables": {"table ip ftpgate {", "@open goto admitted"},
		}[backend()] {
			if !strings.Contains(rules, what) {
				t.Errorf("%q is not there any more, so this test shows nothing:\n%s", what, rules)
			}
		}
	})
}

// redirectToListener puts a listener for every port on the LAN server.
func (r *router) redirectToListener(t *testing.T) {
	t.Helper()
	server := r.Host(lab.Server)
	l, err := server.Listen(t.Context(), mustAddrPort(t, "192.168.50.20:0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	if out, err := server.Run(t.Context(), "iptables-nft", "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "-m", "multiport", "!", "--dports", "21",
		"-j", "REDIRECT", "--to-ports", fmt.Sprint(port)); err != nil {
		t.Fatal(err, out)
	}
}

// knock dials from outside, with little patience.
func (r *router) knock(a net.Addr) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Second)
	defer cancel()
	c, err := r.Host(lab.Outside).Dial(ctx, mustAddrPort(r.t, a.String()))
	if err == nil {
		c.Close()
	}
	return err
}

// TestTransfersSurvive: data that flows goes on through a stop, a crash and a
// restart of the gateway.
func TestTransfersSurvive(t *testing.T) {
	eachVariant(t, lab.Options{}, func(t *testing.T, r *router) {
		server := r.serve(peers.ProFTPD(), lab.Outside, peers.ServerOptions{})
		content := random(30 << 20)
		if err := server.WriteFile("big", content); err != nil {
			t.Fatal(err)
		}
		for _, mode := range []dialogue.Mode{dialogue.PASV, dialogue.PORT} {
			for what, disturb := range map[string]func(*router){
				"stop":  func(r *router) { r.stop() },
				"crash": func(r *router) { r.daemon.Kill() },
				"restart": func(r *router) {
					r.stop()
					r.start(plain)
				},
				"crash and restart": func(r *router) {
					r.daemon.Kill()
					r.start(plain)
				},
			} {
				t.Run(fmt.Sprintf("%s, %s", what, mode), func(t *testing.T) {
					r := r.in(t)
					r.start(plain)
					c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
					d, err := c.Open(mode)
					if err != nil {
						t.Fatal(err)
					}
					sum := sha256.New()
					_, err = d.Transfer("RETR big", func(conn net.Conn, _ io.Writer) (int64, error) {
						n, err := io.CopyN(sum, conn, 1<<20)
						if err != nil {
							return n, err
						}
						disturb(r)
						m, err := io.Copy(sum, conn)
						return n + m, err
					})
					// The last reply is lost with the control connection; the data must not be.
					if want := sha256.Sum256(content); !bytes.Equal(sum.Sum(nil), want[:]) {
						t.Errorf("the data did not survive: %v", err)
					}
					r.daemon.Stop()
				})
			}
		}
	})
}
