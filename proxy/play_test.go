package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// play is a case that runs.
type play struct {
	*testing.T
	where  step
	file   string
	lab    *lab
	pairs  map[string]*pair
	client *memConn // of the pair at hand
	server *memConn // nil: the gateway has not dialled
}

// pair is one control connection and what became of it beyond the gateway.
type pair struct{ client, server *memConn }

// with makes the named control connection the one at hand.
func (p *play) with(name, from string) {
	p.Helper()
	if p.pairs[name] == nil {
		address := p.lab.network.client
		number, err := strconv.Atoi(name)
		if err != nil {
			p.failf("%v", err)
		}
		address = netip.AddrPortFrom(address.Addr(), address.Port()+uint16(number)-1)
		if from != "" {
			address = netip.MustParseAddrPort(from)
		}
		client, server := p.lab.connect(address)
		p.pairs[name] = &pair{client, server}
	}
	p.client, p.server = p.pairs[name].client, p.pairs[name].server
}

// open plays what comes before most cases.
func (p *play) open(stage string) {
	if stage == "greeting" {
		return
	}
	script := []step{{0, "S>", "220 ready"}, {0, "C<", "220 ready"}}
	if stage == "logged in" {
		script = append(script, step{0, "C>", "USER a"}, step{0, "S<", "USER a"}, step{0, "S>", "230 in"}, step{0, "C<", "230 in"})
	}
	for _, s := range script {
		p.where = s
		p.step(s)
	}
}

func (p *play) failf(format string, args ...any) {
	p.Helper()
	p.Fatalf("%s:%d: %s %s: %s\nlog:\n  %s", p.file, p.where.line, p.where.verb, p.where.arg, fmt.Sprintf(format, args...),
		strings.Join(p.lab.lines(), "\n  "))
}

func (p *play) step(s step) {
	p.Helper()
	switch s.verb {
	case "C>", "C>>":
		p.send(p.client, s)
	case "S>", "S>>":
		p.send(p.server, s)
	case "C<", "C<<":
		p.expect(p.client, s)
	case "S<", "S<<":
		p.expect(p.server, s)
	case "client":
		name, from, _ := strings.Cut(s.arg, " ")
		p.with(name, from)
	case "wait":
		time.Sleep(p.duration(s.arg))
	case "hole":
		if got := strings.Join(p.lab.kernel.holes(), " and "); got != strings.TrimPrefix(s.arg, "-") {
			p.failf("open: %q", got)
		}
	case "opened":
		p.count(len(p.lab.kernel.log), "pinholes have been opened")
	case "lent":
		p.count(p.lab.settings.Ports.Stats().Lent, "ports are lent")
	case "connected", "unanswered", "carried", "finished", "killed":
		p.flow(s)
	case "accounts":
		p.count(len(p.lab.gateway.Transfers()), "accounts are kept")
	case "account":
		p.account(s.arg)
	case "because", "took":
		p.explained(s)
	case "pinholes":
		p.pinholes(s.arg)
	case "session":
		p.session(s.arg)
	case "firewall":
		p.lab.kernel.fail(s.arg == "fails")
	case "lose", "regain":
		address := netip.MustParseAddr(s.arg)
		if p.lab.network.gone.Delete(address); s.verb == "lose" {
			p.lab.network.gone.Store(address, true)
		}
		p.lab.gateway.AddressesChanged()
	case "shutdown":
		go p.lab.gateway.Shutdown(deadlineContext(p.duration(s.arg)))
	case "log":
		text, none := strings.CutPrefix(s.arg, "! ")
		if p.lab.logged(p.unescape(text)) == none {
			p.failf("it is otherwise")
		}
	default:
		p.failf("no such step")
	}
	synctest.Wait()
}

func (p *play) send(c *memConn, s step) {
	p.Helper()
	if c == nil {
		p.failf("there is no such connection")
	}
	switch s.arg {
	case "EOF":
		c.CloseWrite()
		return
	case "RESET":
		c.Reset()
		return
	}
	text := p.unescape(s.arg)
	if len(s.verb) == 2 {
		text += "\r\n"
	}
	if _, err := c.Write([]byte(text)); err != nil {
		p.failf("%v", err)
	}
}

// expect compares with what has arrived by now; time does not pass.
func (p *play) expect(c *memConn, s step) {
	p.Helper()
	if c == nil {
		p.failf("there is no such connection")
	}
	c.SetReadDeadline(time.Now().Add(time.Nanosecond))
	defer c.SetReadDeadline(time.Time{})
	switch {
	case s.arg == "-":
		if got, err := io.ReadAll(c); len(got) > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			p.failf("got %q, %v", got, err)
		}
	case s.arg == "EOF":
		if got, err := io.ReadAll(c); len(got) > 0 || err != nil {
			p.failf("got %q, %v", got, err)
		}
	case len(s.verb) == 3:
		want := p.unescape(s.arg)
		got := make([]byte, len(want))
		if n, err := io.ReadFull(c, got); string(got) != want {
			p.failf("got %q, %v", got[:n], err)
		}
	default:
		p.compare(readLine(c), s.arg)
	}
}

func (p *play) compare(got, want string) {
	p.Helper()
	if inner, ok := strings.CutPrefix(want, "*"); ok {
		if !strings.HasSuffix(got, "\r\n") || !strings.Contains(got, p.unescape(strings.TrimSuffix(inner, "*"))) {
			p.failf("got %q", got)
		}
		return
	}
	if got != p.unescape(want)+"\r\n" {
		p.failf("got %q", got)
	}
}

func readLine(c *memConn) string {
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := c.Read(b); err != nil {
			return string(line)
		}
		if line = append(line, b[0]); b[0] == '\n' {
			return string(line)
		}
	}
}

func (p *play) count(got int, what string) {
	p.Helper()
	if strconv.Itoa(got) != p.where.arg {
		p.failf("%d %s", got, what)
	}
}

// account compares the newest account.
func (p *play) account(want string) {
	p.Helper()
	all := p.lab.gateway.Transfers()
	if len(all) == 0 {
		p.failf("there is no account")
	}
	t := all[0]
	got := strings.TrimSpace(fmt.Sprintf("%s %s %s of %s, %s: %d bytes %s", t.Result, t.Verb, t.Path, t.User, t.Mode, t.Bytes, t.Cause))
	if t.Image {
		got += " image"
	}
	if got != want {
		p.failf("got %q", got)
	}
	if (t.Result == Done) != (t.Sentence == "") {
		p.failf("the diagnosis is %q", t.Sentence)
	}
}

// explained compares the diagnosis of the newest account, or how long it took.
func (p *play) explained(s step) {
	p.Helper()
	t := p.lab.gateway.Transfers()[0]
	if s.verb == "took" {
		if t.Duration != p.duration(s.arg) || t.Began.Add(t.Duration).After(time.Now()) {
			p.failf("it took %s, from %s on; now it is %s", t.Duration, t.Began, time.Now())
		}
		return
	}
	if all := t.Sentence + " " + strings.Join(t.Evidence, "; "); !strings.Contains(all, s.arg) {
		p.failf("it says %q", all)
	}
}

// pinholes compares those in place, and what is known of them: as the host is none
// here, no more than how long they have waited.
func (p *play) pinholes(want string) {
	p.Helper()
	got := "none"
	for i, h := range p.lab.gateway.Holes() {
		if i > 0 {
			got += ", "
		} else {
			got = ""
		}
		got += map[bool]string{true: "used", false: "waiting " + h.Waited.String()}[h.Used]
	}
	if got != want {
		p.failf("got %q", got)
	}
}

// session compares what is told of the only session.
func (p *play) session(want string) {
	p.Helper()
	all := p.lab.gateway.Sessions(0, 10)
	if len(all) != 1 || len(p.lab.gateway.Sessions(all[0].ID, 10)) != 0 {
		p.failf("%d sessions", len(all))
	}
	v := all[0]
	got := fmt.Sprintf("%s %s by %s to %s as %s: %d done, %d failed, %d bytes", v.User, v.Client, v.ClientVia, v.Server, v.SeenAs, v.Transfers, v.Failed, v.Bytes)
	if v.Transfer != nil {
		got += fmt.Sprintf("; %s %s %s, %d bytes", v.Transfer.Result, v.Transfer.Verb, v.Transfer.Path, v.Transfer.Bytes)
		if v.Transfer.Cause != "" {
			got += ", " + string(v.Transfer.Cause)
		}
	}
	if v.Pinhole != "" {
		got += "; awaits " + v.Pinhole
	}
	if got != want {
		p.failf("got %q", got)
	}
}

// flow is a step of the newest data connection.
func (p *play) flow(s step) {
	p.Helper()
	f, err := p.lab.flows.last()
	if err != nil {
		p.failf("%v", err)
	}
	switch s.verb {
	case "connected", "unanswered":
		if !p.lab.kernel.admits(f.source, f.destination) {
			p.failf("no pinhole admits it, open: %q", p.lab.kernel.holes())
		}
		if s.verb == "unanswered" {
			f.silent()
		} else {
			f.carry(p.bytes(s.arg))
		}
		f.begin()
	case "carried":
		more, relative := strings.CutPrefix(s.arg, "+")
		n := p.bytes(more)
		if relative {
			carried, _ := f.Payload()
			n += carried
		}
		f.carry(n)
	case "finished":
		f.end()
	case "killed":
		if f.wasKilled() != (s.arg != "-") {
			p.failf("it is otherwise")
		}
	}
}

func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

func (p *play) bytes(text string) uint64 {
	p.Helper()
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		p.failf("%v", err)
	}
	return n
}

func (p *play) duration(text string) time.Duration {
	p.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		p.failf("%v", err)
	}
	return d
}

var repetition = regexp.MustCompile(`\{(\d+)\*([^{}]*)\}`)

// unescape reads repetitions and Go's escapes, without the need to escape
// quotation marks.
func (p *play) unescape(text string) string {
	p.Helper()
	for repetition.MatchString(text) { // the inner ones first
		text = repetition.ReplaceAllStringFunc(text, func(r string) string {
			parts := repetition.FindStringSubmatch(r)
			times, _ := strconv.Atoi(parts[1])
			return strings.Repeat(parts[2], times)
		})
	}
	out, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
	if err != nil {
		p.failf("bad escape in %q", text)
	}
	return out
}
