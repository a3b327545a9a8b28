//go:build kernel

package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// TestTraceIPv6: all that trace tells of IPv4 it tells of IPv6, with extended commands and NAT66.
func TestTraceIPv6(t *testing.T) {
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
		{"outbound", lab.Client, "2001:db8:50::10", "[2001:db8:113::20]:21", lab.Outside, []string{
			`client \[2001:db8:50::10\]:\d+ → \[2001:db8:113::20\]:21 \(lan0\)`, `the gateway connects \[2001:db8:113::1\]:\d+ → \[2001:db8:113::20\]:21 \(wan0\)`,
			`client: PASS \*\*\*\*\n`, `client: EPRT \|2\|2001:db8:50::10\|\d+\|`, `the server got: EPRT \|2\|2001:db8:113::1\|\d+\| \(another address`,
			`data: SYN \[2001:db8:113::20\]:\d+ → \[2001:db8:113::1\]:\d+ \(wan0\)`, `goes on as \[2001:db8:113::20\]:\d+ → \[2001:db8:50::10\]:\d+ \(lan0\)`,
			`, 200000 bytes from the client`, `client: EPSV`, `server: 229`, `200000 bytes from the server`, `1 session, 6 transfers, 6 data connections`,
		}},
		{"inbound", lab.Outside, "2001:db8:113::20", "[2001:db8:113::1]:21", lab.Server, []string{
			`client \[2001:db8:113::20\]:\d+ → \[2001:db8:113::1\]:21 \(wan0\)`, `the gateway connects \[2001:db8:113::20\]:\d+ → \[2001:db8:50::20\]:21 \(lan0\)`,
			`client: EPRT \|2\|2001:db8:113::20\|`, `the server got the same`, `data: SYN \[2001:db8:50::20\]:\d+ → \[2001:db8:113::20\]:\d+ \(lan0\)`,
			`goes on as \[2001:db8:113::1\]:\d+ → \[2001:db8:113::20\]:\d+ \(wan0\)`, `client: EPSV`, `200000 bytes from the server`, `1 session, 6 transfers, 6 data connections`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := r.trace(t)
			witness, stop := r.dumpcap(t)
			session := login(t, r.Host(c.client), c.dials, dialogue.Options{})
			for _, mode := range dialogue.Modes(true) {
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
			tr.noSecret(story, peers.Password)
			sameAsTshark(t, story, witness, c.from)
			sameAsTshark(t, story, tr.file, c.from)
			for _, file := range []string{witness, tr.file} {
				later := tr.read(file)
				mustTell(t, later, c.told...)
				sameSummary(t, story, later)
			}
		})
	}
	r.stop()
}

// TestTraceTLS: of a session that turns to TLS it tells that it does, and nothing that it cannot have read; a data
// connection beside it is still seen, also where no gateway opens one.
func TestTraceTLS(t *testing.T) {
	r := newRouter(t, lab.Options{})
	outside := r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{TLS: true, Passive: passiveRange})
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(outside.Certificate) {
		t.Fatal("the server's certificate cannot be read")
	}
	r.start(plain)
	for _, dials := range []string{"203.0.113.20:21", "[2001:db8:113::20]:21"} {
		t.Run(dials, func(t *testing.T) {
			tr := r.trace(t)
			address := mustAddrPort(t, dials)
			c, err := dialogue.Dial(t.Context(), r.Host(lab.Client), address, dialogue.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.Secure(&tls.Config{RootCAs: roots, ServerName: address.Addr().String()}, false); err != nil {
				t.Fatal(err)
			}
			if err := c.Login(peers.User, peers.Password); err != nil {
				t.Fatal(err)
			}
			d, err := c.Open(dialogue.EPSV)
			if err != nil {
				t.Fatal(err)
			}
			if try(t, r.Host(lab.Client), d.Announced) {
				t.Fatal("a data connection behind TLS passed")
			}
			if _, err := c.Want(221, "QUIT"); err != nil {
				t.Fatal(err)
			}
			c.Close()
			tr.await("closes the connection")
			story := tr.stop()
			told := []string{`client: AUTH TLS`, `server: 234 `, `turned to TLS: nothing more can be read`,
				`data: SYN \S+ → ` + regexp.QuoteMeta(d.Announced.String()) + ` \(lan0\), which nobody has announced here`,
				`closes the connection`, `1 session, 0 transfers, 0 data connections`, `1 session turned to TLS`}
			mustTell(t, story, told...)
			if n := strings.Count(story, "turned to TLS: nothing more can be read"); n != 1 {
				t.Errorf("it is told %d times that the session turned to TLS", n)
			}
			for _, never := range []string{"USER", "EPSV", "PASS", "not captured"} {
				if strings.Contains(story, never) {
					t.Errorf("the story speaks of %s, which was behind TLS", never)
				}
			}
			later := tr.read(tr.file)
			mustTell(t, later, told...)
			sameSummary(t, story, later)
		})
	}
	r.stop()
}

// summaryLines are what a story comes to.
func summaryLines(story string) []string {
	at := regexp.MustCompile(`(?m)^\d+ sessions?, .*`).FindStringIndex(story)
	if at == nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(story[at[0]:]), "\n")
}

// sameSummary: the same packets come to the same, however they were read.
func sameSummary(t *testing.T, live, later string) {
	t.Helper()
	a, b := summaryLines(live), summaryLines(later)
	if len(a) == 0 || !slices.Equal(a, b) {
		t.Errorf("live it came to\n  %s\nand from the file to\n  %s", strings.Join(a, "\n  "), strings.Join(b, "\n  "))
	}
}

// TestTraceCrowd: many sessions at once, in both directions and families, are told apart: each has its own commands,
// servers and data connections, and a capture of the same packets comes to the same.
func TestTraceCrowd(t *testing.T) {
	const sessions = 24
	r := newRouter(t, lab.Options{})
	outside := r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{Passive: passiveRange})
	inside := r.serve(peers.ProFTPD(), lab.Server, peers.ServerOptions{Passive: passiveRange})
	r.start(plain)
	tr := r.trace(t)
	ways := usualWays(outside, inside)
	var wg sync.WaitGroup
	for i := range sessions {
		wg.Go(func() {
			w := ways[i%len(ways)]
			modes := w.modes()
			if err := r.crowded(w, fmt.Sprintf("s%d.bin", i), modes[i/len(ways)%len(modes)]); err != nil {
				t.Errorf("session %d, %s: %v", i, w.name, err)
			}
		})
	}
	wg.Wait()
	eventually(t, "the end of all sessions", func() bool { return strings.Count(tr.process.Output(), " closes the connection") >= sessions })
	story := tr.stop()
	if strings.Contains(story, "are missing") {
		t.Logf("packets were lost: %s", story[strings.Index(story, "warning"):])
	}
	tr.noSecret(story, peers.Password)
	mustTell(t, story, fmt.Sprintf(`(?m)^%d sessions, %d transfers, %d data connections with `, sessions, sessions*crowdedTransfers, sessions*crowdedTransfers))
	if strings.Contains(story, "what did not work") {
		t.Errorf("something did not work: %s", strings.Join(summaryLines(story), "\n"))
	}
	own := regexp.MustCompile(`(?m)^\S+ .*?\[(\d+)\] client: (?:STOR|RETR) (s\d+\.bin)$`)
	files := map[string]string{}
	for _, m := range own.FindAllStringSubmatch(story, -1) {
		if was, known := files[m[1]]; known && was != m[2] {
			t.Errorf("session %s has the files %s and %s", m[1], was, m[2])
		}
		files[m[1]] = m[2]
	}
	if len(files) != sessions {
		t.Errorf("%d sessions have files", len(files))
	}
	if regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{3} +-`).MatchString(story) {
		t.Error("lines have negative times")
	}
	if strings.Contains(story, "of which the client said nothing") || strings.Contains(story, "nobody has announced") {
		t.Error("a connection was given to another session")
	}
	sameSummary(t, story, tr.read(tr.file))
	r.stop()
}
