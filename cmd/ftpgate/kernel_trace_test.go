//go:build kernel

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// TestTrace: trace tells of transfers in all four flows through the gateway what tshark tells of them, live and from the
// file of another program, and writes a file that tshark reads.
func TestTrace(t *testing.T) {
	r := newRouter(t, lab.Options{})
	servers := map[string]*peers.Server{
		lab.Outside: r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{}),
		lab.Server:  r.serve(peers.Pyftpdlib(), lab.Server, peers.ServerOptions{}),
	}
	r.start(fmt.Sprintf(usualRules, "", ""))
	for _, c := range []struct {
		name, client, from, dials, server string
		told                              []string
	}{
		{"outbound", lab.Client, "192.168.50.10", "203.0.113.20:21", lab.Outside, []string{
			`client 192\.168\.50\.10:\d+ → 203\.0\.113\.20:21 \(lan0\)`, `the gateway connects 203\.0\.113\.1:\d+ → 203\.0\.113\.20:21 \(wan0\)`,
			`server: 220 `, `client: USER lab`, `client: PASS \*\*\*\*\n`, `client: PORT 192,168,50,10,`,
			`the server got: PORT 203,0,113,1,\S+ \(another address: 192\.168\.50\.10:\d+ became 203\.0\.113\.1:\d+\)`,
			`data: SYN 203\.0\.113\.20:\d+ → 203\.0\.113\.1:\d+ \(wan0\)`, `goes on as 203\.0\.113\.20:\d+ → 192\.168\.50\.10:\d+ \(lan0\)`,
			`answered after `, `client: STOR `, `closed after .*, 200000 bytes from the client`, `client: PASV`, `client: RETR`, `200000 bytes from the server`,
			`client: QUIT`, `server: 221`, `1 session, 12 transfers, 12 data connections`,
		}},
		{"inbound", lab.Outside, "203.0.113.20", "203.0.113.1:21", lab.Server, []string{
			`client 203\.0\.113\.20:\d+ → 203\.0\.113\.1:21 \(wan0\)`, `the gateway connects 203\.0\.113\.20:\d+ → 192\.168\.50\.20:21 \(lan0\)`,
			`client: PORT 203,0,113,20,`, `the server got the same`, `data: SYN 192\.168\.50\.20:\d+ → 203\.0\.113\.20:\d+ \(lan0\)`,
			`goes on as 203\.0\.113\.1:\d+ → 203\.0\.113\.20:\d+ \(wan0\)`, `client: PASV`, `server: 227 .*\(192,168,50,20,`,
			`the client got: 227 .*\(203,0,113,1,.*\(another address: 192\.168\.50\.20:\d+ became 203\.0\.113\.1:\d+\)`,
			`data: SYN 203\.0\.113\.20:\d+ → 203\.0\.113\.1:\d+ \(wan0\)`, `goes on as 203\.0\.113\.20:\d+ → 192\.168\.50\.20:\d+ \(lan0\)`,
			`client: EPSV`, `1 session, 12 transfers, 12 data connections`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := r.trace(t)
			witness, stop := r.dumpcap(t)
			session := login(t, r.Host(c.client), c.dials, dialogue.Options{})
			for _, mode := range dialogue.Modes(false) {
				roundTrip(t, session, mode, servers[c.server])
			}
			if _, err := session.Want(221, "QUIT"); err != nil {
				t.Fatal(err)
			}
			session.Close()
			tr.await("closes the connection")
			story := tr.stop()
			stop()
			mustTell(t, story, c.told...)
			if n := len(all(story, bytesLine)); n != 12 {
				t.Errorf("%d of 12 data connections have ended with their bytes", n)
			}
			tr.noSecret(story, peers.Password)
			sameAsTshark(t, story, witness, c.from)
			sameAsTshark(t, story, tr.file, c.from)
			later := tr.read(witness)
			mustTell(t, later, c.told...)
			sameAsTshark(t, later, witness, c.from)
			mustTell(t, tr.read(tr.file), c.told...)
			tr.commented(c.from)
		})
	}
	r.stop()
}

// TestTraceHelper: the same without the gateway, through the kernel's helper, which writes over the addresses.
func TestTraceHelper(t *testing.T) {
	r := newRouter(t, lab.Options{})
	for _, rule := range []string{
		"-t raw -A PREROUTING -i lan0 -p tcp --dport 21 -j CT --helper ftp",
		"-A FORWARD -i lan0 -o wan0 -p tcp --dport 21 -m conntrack --ctstate NEW -j ACCEPT",
	} {
		r.run("iptables-nft", strings.Fields(rule)...)
	}
	s := r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{})
	tr := r.trace(t)
	c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
	for _, mode := range dialogue.Modes(false) {
		roundTrip(t, c, mode, s)
	}
	if _, err := c.Want(221, "QUIT"); err != nil {
		t.Fatal(err)
	}
	c.Close()
	tr.await("closes the connection")
	story := tr.stop()
	told := []string{
		`client 192\.168\.50\.10:\d+ → 203\.0\.113\.20:21 \(lan0\)`, `it goes on as 203\.0\.113\.1:\d+ → 203\.0\.113\.20:21 \(wan0\)`,
		`client: PORT 192,168,50,10,`, `the server got: PORT 203,0,113,1,\S+ \(another address`,
		`data: SYN 203\.0\.113\.20:\d+ → 203\.0\.113\.1:\d+ \(wan0\)`, `goes on as 203\.0\.113\.20:\d+ → 192\.168\.50\.10:\d+ \(lan0\)`,
		`200000 bytes from the client`, `200000 bytes from the server`, `client: EPSV`, `1 session, 12 transfers, 12 data connections`,
	}
	mustTell(t, story, told...)
	if strings.Contains(story, "gateway") {
		t.Error("it tells of a gateway, and there is none")
	}
	tr.noSecret(story, peers.Password)
	sameAsTshark(t, story, tr.file, "192.168.50.10")
	mustTell(t, tr.read(tr.file), told...)
	tr.commented("192.168.50.10")
}

// TestTraceFailures: a data connection that does not come about is explained by what was on the wire.
func TestTraceFailures(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.serve(peers.Pyftpdlib(), lab.Server, peers.ServerOptions{})
	r.start(fmt.Sprintf(usualRules, "", ""))
	filter := func(t *testing.T, target ...string) {
		program := "iptables-" + string(r.Variant())
		rule := append([]string{"FORWARD", "-d", "192.168.50.20", "-p", "tcp", "!", "--dport", "21", "-j"}, target...)
		r.run(program, append([]string{"-I"}, rule...)...)
		t.Cleanup(func() { r.run(program, append([]string{"-D"}, rule...)...) })
	}
	// knock connects to where the gateway has said that it may, and gives up.
	knock := func(t *testing.T, c *dialogue.Client, seconds string) {
		d, err := c.Open(dialogue.PASV)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Host(lab.Outside).Run(t.Context(), "timeout", seconds, "bash", "-c",
			fmt.Sprintf("exec 3<>/dev/tcp/%s/%d", d.Announced.Addr(), d.Announced.Port())); err == nil {
			t.Fatal("it was admitted")
		}
	}
	for _, c := range []struct {
		name    string
		provoke func(t *testing.T, c *dialogue.Client)
		wait    string
		told    []string
	}{
		{"dropped", func(t *testing.T, c *dialogue.Client) {
			filter(t, "DROP")
			knock(t, c, "4")
		}, "was not answered for", []string{
			`data: SYN 203\.0\.113\.20:\d+ → 203\.0\.113\.1:\d+ \(wan0\)`, `SYN again, the 2nd in 1`,
			`was not answered for 3.*: it came in and did not go on, so this host drops it or leads it nowhere`,
		}},
		{"rejected", func(t *testing.T, c *dialogue.Client) {
			filter(t, "REJECT", "--reject-with", "icmp-admin-prohibited")
			knock(t, c, "1")
		}, "rejected", []string{`data: SYN`, `data: rejected \(ICMP administratively prohibited, by 203\.0\.113\.1 \(wan0\)\) after `}},
		{"reset", func(t *testing.T, c *dialogue.Client) {
			filter(t, "REJECT", "--reject-with", "tcp-reset")
			knock(t, c, "1")
		}, "refused", []string{`data: SYN`, `data: refused \(RST by 203\.0\.113\.1:\d+ \(wan0\)\) after `}},
		{"never", func(t *testing.T, c *dialogue.Client) {
			if _, err := c.Open(dialogue.PASV); err != nil {
				t.Fatal(err)
			}
		}, "", []string{`PASV: no SYN came for 203\.0\.113\.1:\d+: the client never connected`, `what did not work:\n  \[1\] PASV: no SYN came`}},
		{"the gateway answers itself", func(t *testing.T, c *dialogue.Client) {
			if _, err := c.Cmd("RETR missing"); err != nil {
				t.Fatal(err)
			}
		}, "did not get", []string{`client: RETR missing`, `gateway: 425 `, `the server did not get the command`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := r.trace(t)
			session := login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{})
			c.provoke(t, session)
			tr.await(c.wait)
			session.Close()
			tr.await("closes the connection")
			story := tr.stop()
			mustTell(t, story, c.told...)
			tr.noSecret(story, peers.Password)
		})
	}
	r.stop()
}

// TestTraceSecrets: no password is in the file or the story, however it comes, on both sides.
func TestTraceSecrets(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{})
	r.start(plain)
	tr := r.trace(t)
	const hidden = "Xyzzy-hidden-7"
	for _, o := range []dialogue.Options{{}, {ByteWise: true}} {
		for _, line := range []string{"PASS " + hidden, "pAsS " + hidden, "ACCT " + hidden, "SITE PSWD old " + hidden, " PASS " + hidden} {
			c, err := dialogue.Dial(t.Context(), r.Host(lab.Client), mustAddrPort(t, "203.0.113.20:21"), o)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range []string{"USER lab", line} {
				if _, err := c.Cmd(l); err != nil {
					t.Fatal(err)
				}
			}
			c.Close()
		}
	}
	eventually(t, "the end of all sessions", func() bool { return strings.Count(tr.process.Output(), "client closes the connection") == 10 })
	story := tr.stop()
	tr.noSecret(story, hidden, hidden[1:], "hidden")
	raw, err := os.ReadFile(tr.file)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(raw, []byte("PASS ****")); n < 4 {
		t.Errorf("only %d passwords can be seen to have been overwritten", n)
	}
}

// TestTraceRights: without the right to capture it fails, and says what to do.
func TestTraceRights(t *testing.T) {
	r := newRouter(t, lab.Options{})
	out, err := r.Host(lab.Router).Run(t.Context(), "setpriv", "--bounding-set=-net_raw", gatewayBinary, "trace", "--duration", "1s")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailed || !strings.Contains(out, "run it as root, or give it CAP_NET_RAW") {
		t.Errorf("%v: %s", err, out)
	}
	// With it, and nothing named, it watches what is up, and ends by itself.
	out, err = r.Host(lab.Router).Run(t.Context(), gatewayBinary, "trace", "--duration", "100ms", "--port", "2121")
	if err != nil || !strings.Contains(out, "watching lan0, wan0 for control connections to port 2121") || !strings.Contains(out, "0 sessions") {
		t.Errorf("%v: %s", err, out)
	}
}
