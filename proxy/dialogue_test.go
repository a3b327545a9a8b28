package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ftpgate/ftpgate/proxy/policy"
)

// A dialogue is a file of cases in testdata/dialogues. A case begins with
//
//	== P01 the title
//
// where the first word is the id of its vector in testdata/vectors.txt, or a
// hyphen. Lines that begin with # are comments. Settings come first:
//
//	outbound | inbound | routed | ipv6 | inbound-ipv6 | nat66   who is who, see scenes
//	greeting                     stop before the greeting: the case plays it itself
//	anonymous                    stop before the login
//	pool 50001-50001             public ports
//	set KEY VALUE                one key of the rule, see setting
//
// Then the steps, in order:
//
//	C> text      the client sends the line and CRLF    C>> text   the bytes as they are, with Go's escapes
//	S> text      the server sends                      S>> text
//	C< text      the client gets the line and CRLF     C<< text   it gets just these bytes
//	S< text      the server gets                       S<< text
//	C< *text*    ... a line that contains the text
//	C< -         nothing has come                      S< -
//	C< EOF       the connection has been closed        S< EOF
//	C> EOF       it closes its side                    S> EOF
//	C> RESET     it closes both directions             S> RESET
//	hole TEXT    just this pinhole is open, as Pinhole.String says it; "hole -": none
//	opened N     so many pinholes have been opened since the beginning
//	connected N  the data connection comes and carries N bytes; "carried N": N in all by now
//	finished     the data connection ends
//	killed       the gateway has cut it
//	firewall fails | works       what the kernel answers from now on
//	wait 61s     time passes
//	shutdown 5s  the gateway stops with so much grace; does not wait for it
//	log TEXT     a line of the log contains the text;  "log ! TEXT": none does
func TestDialogues(t *testing.T) {
	files, err := filepath.Glob("testdata/dialogues/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no dialogues: ", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range casesOf(t, file, string(text)) {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt")+"/"+c.title, func(t *testing.T) {
				synctest.Test(t, c.run)
			})
		}
	}
}

type dialogue struct {
	file, id, title string
	steps           []step
}

type step struct {
	line      int
	verb, arg string
}

func casesOf(t *testing.T, file, text string) (cases []*dialogue) {
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "== "):
			id, _, _ := strings.Cut(line[3:], " ")
			cases = append(cases, &dialogue{file: file, id: id, title: line[3:]})
		case len(cases) == 0:
			t.Fatalf("%s:%d: a step before the first case", file, i+1)
		default:
			verb, arg, _ := strings.Cut(line, " ")
			c := cases[len(cases)-1]
			c.steps = append(c.steps, step{i + 1, verb, arg})
		}
	}
	return cases
}

// scenes are the addresses of the vectors.
var scenes = map[string]struct {
	direction policy.Direction
	addressing
	preserve bool
	server   []netip.AddrPort
}{
	"outbound": {direction: policy.Outbound, addressing: addressing{
		client: at("192.168.1.10:1027"), dialled: at("198.51.100.7:21"), local: at("203.0.113.1:0").Addr(), fromLAN: true}},
	"routed": {direction: policy.Outbound, preserve: true, addressing: addressing{
		client: at("192.168.1.10:1027"), dialled: at("198.51.100.7:21"), fromLAN: true}},
	"ipv6": {direction: policy.Outbound, preserve: true, addressing: addressing{
		client: at("[2001:db8:1::10]:1027"), dialled: at("[2001:db8:2::7]:21"), fromLAN: true}},
	"nat66": {direction: policy.Outbound, addressing: addressing{
		client: at("[fd00::10]:1027"), dialled: at("[2001:db8:2::7]:21"), local: at("[2001:db8:3::1]:0").Addr(), fromLAN: true}},
	"inbound": {direction: policy.Inbound, preserve: true, server: []netip.AddrPort{at("192.168.1.5:21")}, addressing: addressing{
		client: at("198.51.100.20:1027"), dialled: at("203.0.113.1:21"), isLocal: true}},
	"inbound-hidden": {direction: policy.Inbound, server: []netip.AddrPort{at("192.168.1.5:21")}, addressing: addressing{
		client: at("198.51.100.20:1027"), dialled: at("203.0.113.1:21"), local: at("192.168.1.1:0").Addr(), isLocal: true}},
	"inbound-ipv6": {direction: policy.Inbound, preserve: true, server: []netip.AddrPort{at("[2001:db8:1::5]:21")}, addressing: addressing{
		client: at("[2001:db8:2::20]:1027"), dialled: at("[2001:db8:1::5]:21")}},
	"hairpin": {direction: policy.Inbound, preserve: true, server: []netip.AddrPort{at("192.168.1.5:21")}, addressing: addressing{
		client: at("192.168.1.10:1027"), dialled: at("203.0.113.1:21"), local: at("192.168.1.1:0").Addr(), fromLAN: true, isLocal: true}},
}

func at(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// play is a case that runs.
type play struct {
	*testing.T
	where  step
	file   string
	lab    *lab
	client *memConn
	server *memConn
}

func (d *dialogue) run(t *testing.T) {
	scene, pool, stage := "outbound", [2]uint16{50001, 50001}, "logged in"
	steps := d.steps
	var settings []step
setup:
	for ; len(steps) > 0; steps = steps[1:] {
		s := steps[0]
		switch _, isScene := scenes[s.verb]; {
		case isScene:
			scene = s.verb
		case s.verb == "greeting" || s.verb == "anonymous":
			stage = s.verb
		case s.verb == "pool":
			if _, err := fmt.Sscanf(s.arg, "%d-%d", &pool[0], &pool[1]); err != nil {
				t.Fatalf("%s:%d: %v", d.file, s.line, err)
			}
		case s.verb == "set":
			settings = append(settings, s)
		default:
			break setup
		}
	}
	p := &play{T: t, file: d.file}
	rule := openRule(scenes[scene].direction)
	rule.PreserveClientAddress, rule.Server = scenes[scene].preserve, scenes[scene].server
	p.lab = newLab(t, rule, scenes[scene].addressing, pool)
	defer p.lab.stop()
	for _, s := range settings {
		p.where = s
		p.set(rule, s.arg)
	}
	p.client, p.server = p.lab.connect()
	p.open(stage)
	for _, s := range steps {
		p.where = s
		p.step(s)
	}
	p.client.Close()
	if p.server != nil {
		p.server.Close()
	}
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
	case "wait":
		d, err := time.ParseDuration(s.arg)
		if err != nil {
			p.failf("%v", err)
		}
		time.Sleep(d)
	case "hole":
		p.hole(s.arg)
	case "opened":
		if got := strconv.Itoa(len(p.lab.kernel.log)); got != s.arg {
			p.failf("%s pinholes have been opened", got)
		}
	case "connected", "carried", "finished", "killed":
		p.flow(s)
	case "firewall":
		p.lab.kernel.fails = s.arg == "fails"
	case "shutdown":
		p.shutdown(s.arg)
	case "log":
		text, none := strings.CutPrefix(s.arg, "! ")
		if p.lab.logged(unescape(p, text)) == none {
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
	switch {
	case s.arg == "EOF":
		c.CloseWrite()
		return
	case s.arg == "RESET":
		c.Close()
		return
	}
	text := unescape(p, s.arg)
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
		want := unescape(p, s.arg)
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
		if !strings.HasSuffix(got, "\r\n") || !strings.Contains(got, unescape(p, strings.TrimSuffix(inner, "*"))) {
			p.failf("got %q", got)
		}
		return
	}
	if got != unescape(p, want)+"\r\n" {
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

func (p *play) hole(want string) {
	p.Helper()
	got := strings.Join(p.lab.kernel.holes(), " and ")
	if want == "-" {
		want = ""
	}
	if got != want {
		p.failf("open: %q", got)
	}
}

func (p *play) flow(s step) {
	p.Helper()
	f, err := p.lab.flows.last()
	if err != nil {
		p.failf("%v", err)
	}
	if s.arg != "" {
		if f.bytes, err = strconv.ParseUint(s.arg, 10, 64); err != nil {
			p.failf("%v", err)
		}
	}
	switch s.verb {
	case "connected":
		close(f.began)
	case "finished":
		close(f.ended)
	case "killed":
		if !f.killed {
			p.failf("it was not")
		}
	}
}

func (p *play) shutdown(grace string) {
	d, err := time.ParseDuration(grace)
	if err != nil {
		p.failf("%v", err)
	}
	go p.lab.gateway.Shutdown(deadlineContext(d))
}

// unescape reads Go's escapes, without the need to escape quotation marks.
func unescape(p *play, text string) string {
	p.Helper()
	out, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
	if err != nil {
		p.failf("bad escape in %q", text)
	}
	return out
}

// set changes the rule: the keys of the configuration that dialogues need.
func (p *play) set(rule *policy.Rule, arg string) {
	key, value, _ := strings.Cut(arg, " ")
	duration := func() time.Duration {
		d, err := time.ParseDuration(value)
		if err != nil {
			p.failf("%v", err)
		}
		return d
	}
	number := func() int {
		n, err := strconv.Atoi(value)
		if err != nil {
			p.failf("%v", err)
		}
		return n
	}
	switch key {
	case "modes":
		rule.Active, rule.Passive = strings.Contains(value, "active") && value != "passive", strings.Contains(value, "passive")
	case "foreign_address":
		rule.ForeignAddress = policy.ForeignAddress(value)
	case "active_source_port_20":
		rule.ActiveSourcePort20 = value == "true"
	case "preserve_client_address":
		rule.PreserveClientAddress = value == "true"
	case "tls":
		rule.TLS = policy.ClientTLS(value)
	case "preset":
		rule.Commands.Preset = policy.Preset(value)
	case "deny":
		rule.Commands.Deny = strings.Fields(value)
	case "users.allow":
		rule.Users.Allow = strings.Fields(value)
	case "users.deny":
		rule.Users.Deny = strings.Fields(value)
	case "clients":
		rule.Clients = []netip.Prefix{netip.MustParsePrefix(value)}
	case "sessions":
		rule.Limits.Sessions = number()
	case "sessions_per_client":
		rule.Limits.SessionsPerClient = number()
	case "login_failures":
		rule.Limits.LoginFailures = number()
	case "login":
		rule.Timeouts.Login = duration()
	case "idle":
		rule.Timeouts.Idle = duration()
	case "connect":
		rule.Timeouts.Connect = duration()
	case "data_idle":
		rule.Timeouts.DataIdle = duration()
	case "server":
		p.lab.network.unreachable, p.lab.network.hanging = value == "unreachable", value == "silent"
	case "advertise":
		settings := p.lab.settings
		settings.Advertise = FixedAddress(netip.MustParseAddr(value))
		p.lab.gateway.Apply(settings)
	default:
		p.failf("no such key")
	}
}
