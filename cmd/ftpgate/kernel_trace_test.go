//go:build kernel

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// tracing is a running ftpgate trace.
type tracing struct {
	t       *testing.T
	process *lab.Process
	file    string // the packets
}

// trace starts ftpgate trace on the router, and waits until it watches.
func (r *router) trace(t *testing.T, args ...string) *tracing {
	t.Helper()
	tr := &tracing{t: t, file: filepath.Join(t.TempDir(), "trace.pcapng")}
	args = append([]string{"trace", "--interface", "lan0", "--interface", "wan0", "--write", tr.file}, args...)
	wishes := lab.StartOptions{Env: []string{"GORACE=atexit_sleep_ms=0"}}
	process, err := r.Host(lab.Router).StartWith(wishes, gatewayBinary, args...)
	if err != nil {
		t.Fatal(err)
	}
	tr.process = process
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("trace said:\n%s", process.Output())
		}
	})
	tr.await("watching lan0, wan0")
	return tr
}

// await waits for a text in the story.
func (tr *tracing) await(text string) {
	tr.t.Helper()
	ctx, cancel := context.WithTimeout(tr.t.Context(), patience)
	defer cancel()
	if err := tr.process.WaitOutput(ctx, text); err != nil {
		tr.t.Fatalf("waiting for %q in the story: %v", text, err)
	}
}

// stop ends the trace as Ctrl-C does, and returns the story.
func (tr *tracing) stop() string {
	tr.t.Helper()
	if err := tr.process.Signal(syscall.SIGINT); err != nil {
		tr.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tr.t.Context(), patience)
	defer cancel()
	if err := tr.process.Wait(ctx); err != nil {
		tr.t.Fatal(err)
	}
	return tr.process.Output()
}

// tshark decodes a capture by itself: one line of fields, separated by tabs, for each packet that the filter chooses. What begins
// with a hyphen is an option, and its value.
func tshark(t *testing.T, file, filter string, fields ...string) []string {
	t.Helper()
	args := []string{"-n", "-r", file, "-Y", filter, "-T", "fields"}
	for i, f := range fields {
		if strings.HasPrefix(f, "-") {
			args = append(args, fields[i:]...)
			break
		}
		args = append(args, "-e", f)
	}
	cmd := exec.CommandContext(t.Context(), "tshark", args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark %s: %v\n%s", strings.Join(args, " "), err, &complaint)
	}
	if strings.Contains(complaint.String(), "malformed") || strings.Contains(complaint.String(), "cut short") {
		t.Errorf("tshark says of %s: %s", file, &complaint)
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
}

// dumpcap is a witness: it captures the same packets with libpcap.
func (r *router) dumpcap(t *testing.T) (file string, stop func()) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "witness.pcapng")
	p, err := r.Host(lab.Router).Start("dumpcap", "-q", "-i", "lan0", "-i", "wan0", "-w", file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.WaitOutput(ctx, "File:"); err != nil {
		t.Fatal(err)
	}
	return file, func() {
		t.Helper()
		eventually(t, "the witness's last packets", func() bool { // it gives away what it still buffers
			raw, err := os.ReadFile(file)
			return err == nil && bytes.Count(raw, []byte("221 Goodbye")) >= 2
		})
		if err := p.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := p.Wait(ctx); err != nil {
			t.Fatalf("dumpcap: %v\n%s", err, p.Output())
		}
	}
}

var (
	commandLine = regexp.MustCompile(`(?m)\] client: (.*)$`)
	synLine     = regexp.MustCompile(`(?m)data: (?:SYN|it goes on as) (\S+) → (\S+) \((\S+)\)`)
	bytesLine   = regexp.MustCompile(`(?m)data: closed after .*, (\d+) bytes from the (client|server)$`)
)

// all returns the first group of each match.
func all(text string, pattern *regexp.Regexp) (found []string) {
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		found = append(found, strings.Join(m[1:], " "))
	}
	return found
}

// sameAsTshark compares a story with what tshark reads in a capture of the same packets: the client's commands, word by
// word, and the SYNs of data connections on both interfaces.
func sameAsTshark(t *testing.T, story, capture, client string) {
	t.Helper()
	var said []string
	for _, line := range tshark(t, capture, "ftp.request && ip.src=="+client+" && frame.interface_name==\""+nearOf(client)+"\"",
		"ftp.request.command", "ftp.request.arg") {
		verb, arg, _ := strings.Cut(line, "\t")
		if verb == "PASS" {
			arg = "****"
		}
		said = append(said, strings.TrimSpace(verb+" "+arg))
	}
	if got := all(story, commandLine); len(said) == 0 || !slices.Equal(got, said) {
		t.Errorf("commands of the client\ntrace:  %q\ntshark: %q", got, said)
	}
	var dialled []string
	for _, line := range tshark(t, capture, "tcp.flags.syn==1 && tcp.flags.ack==0 && tcp.port!=21",
		"ip.src", "tcp.srcport", "ip.dst", "tcp.dstport", "frame.interface_name") {
		f := strings.Split(line, "\t")
		dialled = append(dialled, fmt.Sprintf("%s:%s %s:%s %s", f[0], f[1], f[2], f[3], f[4]))
	}
	got := all(story, synLine)
	slices.Sort(got) // dumpcap has a thread for each interface, and their order is not that of the packets
	slices.Sort(dialled)
	if len(dialled) == 0 || !slices.Equal(got, dialled) {
		t.Errorf("SYNs of data connections\ntrace:  %q\ntshark: %q", got, dialled)
	}
}

// nearOf is the interface by which a client's packets come.
func nearOf(client string) string {
	if strings.HasPrefix(client, "192.168.50.") {
		return "lan0"
	}
	return "wan0"
}

// noSecret looks for a password in everything that trace left behind.
func (tr *tracing) noSecret(story string, secrets ...string) {
	tr.t.Helper()
	raw, err := os.ReadFile(tr.file)
	if err != nil {
		tr.t.Fatal(err)
	}
	for _, secret := range secrets {
		if bytes.Contains(raw, []byte(secret)) {
			tr.t.Errorf("the file has the password %q", secret)
		}
		if strings.Contains(story, secret) {
			tr.t.Errorf("the story has the password %q", secret)
		}
	}
}

// read is the story that ftpgate tells of a file.
func (tr *tracing) read(file string, args ...string) string {
	tr.t.Helper()
	story, complaint, code := command(tr.t, append([]string{"trace", "--read", file}, args...)...)
	if code != 0 {
		tr.t.Fatalf("reading %s: %s", file, complaint)
	}
	return story
}

// mustTell wants patterns in a story, in this order.
func mustTell(t *testing.T, story string, patterns ...string) {
	t.Helper()
	rest := story
	for _, p := range patterns {
		at := regexp.MustCompile(p).FindStringIndex(rest)
		if at == nil {
			t.Errorf("the story does not tell, or not in this place: %s", p)
			return
		}
		rest = rest[at[1]:]
	}
}

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

// commented looks for comments on the packets that matter, as tshark reads them.
func (tr *tracing) commented(client string) {
	tr.t.Helper()
	for filter, want := range map[string]string{
		"ftp.request.command==\"PORT\" && ip.src==" + client + " && frame.interface_name==\"" + nearOf(client) + "\"": "session 1: client: PORT ",
		"ftp.request.command==\"PASS\" && ip.src==" + client + " && frame.interface_name==\"" + nearOf(client) + "\"": "session 1: client: PASS ****",
		"ftp.response.code==226":                                  "session 1: server: 226",
		"tcp.flags.syn==1 && tcp.flags.ack==0 && tcp.port!=21":    "session 1: data: ",
		"tcp.flags.syn==1 && tcp.flags.ack==0 && tcp.dstport==21": "session 1: ",
	} {
		comments := tshark(tr.t, tr.file, filter, "frame.comment")
		if len(comments) == 0 {
			tr.t.Errorf("no packet is %s, or none has a comment", filter)
		}
		found := false
		for _, c := range comments {
			found = found || strings.Contains(c, want)
		}
		if !found {
			tr.t.Errorf("no comment on %s has %q: %q", filter, want, comments)
		}
	}
	// What was overwritten has a checksum that is right again.
	for _, status := range tshark(tr.t, tr.file, "ftp.request.command==\"PASS\"", "tcp.checksum.status", "-o", "tcp.check_checksum:TRUE") {
		if status != "1" {
			tr.t.Errorf("a packet with a password has the checksum status %s", status)
		}
	}
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
