//go:build kernel

package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
	"github.com/ftpgate/ftpgate/proxy/status"
)

// reloadWith writes a configuration, sends SIGHUP and waits until it is in force.
func (r *router) reloadWith(t *testing.T, config string) {
	t.Helper()
	const word = "configuration reloaded"
	before := strings.Count(r.daemon.Output(), word)
	r.write(config)
	r.reload()
	eventually(t, "the reload", func() bool { return strings.Count(r.daemon.Output(), word) > before })
}

// TestReloadRules: a running session keeps its rule, a new one gets the new one.
func TestReloadRules(t *testing.T) {
	eachVariant(t, lab.Options{}, func(t *testing.T, r *router) {
		server := r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{Passive: passiveRange})
		r.start(plain)
		client := r.Host(lab.Client)
		old := login(t, client, "203.0.113.20:21", dialogue.Options{})
		unused, err := old.Open(dialogue.PASV)
		if err != nil {
			t.Fatal(err)
		}
		r.reloadWith(t, `
interfaces: {lan: [lan0], wan: [wan0]}
log: {level: debug}
rules:
  - {name: strict, direction: outbound, commands: {preset: read_only}}
`)
		if conn, err := unused.Connect(); err != nil {
			t.Errorf("a pinhole was lost in the reload: %v", err)
		} else {
			conn.Close()
		}
		roundTrip(t, old, dialogue.PORT, server)
		roundTrip(t, old, dialogue.EPSV, server)
		young := login(t, client, "203.0.113.20:21", dialogue.Options{})
		if _, err := young.Want(502, "DELE f"); err != nil {
			t.Error(err)
		}
		if _, _, err := young.List(dialogue.EPRT, "LIST"); err != nil {
			t.Error(err)
		}
		if try(t, r.Host(lab.Outside), mustAddrPort(t, "203.0.113.1:21")) {
			t.Error("the rule that was removed is in force")
		}
		for c, rule := range map[*dialogue.Client]string{old: "out", young: "strict"} {
			if last := r.quit(t, c); last.Rule != rule {
				t.Errorf("a session of rule %s ended with %+v", rule, last)
			}
		}
		r.stop()
	})
}

// TestBadReload: a file that is wrong changes nothing, and the log says where it
// is wrong.
func TestBadReload(t *testing.T) {
	r := newRouter(t, lab.Options{})
	server := r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{Passive: passiveRange})
	r.start(plain)
	before := ours(r.state())
	for _, c := range []struct{ broken, line, key string }{
		{strings.Replace(plain, "direction: outbound", "directoin: outbound", 1), "5", "directoin"},
		{plain + "data_ports: 50000-40000\n", "7", "data_ports"},
		{strings.Replace(plain, "lan: [lan0]", "lan: [wan0]", 1), "2", "interfaces"},
		{strings.Replace(plain, "level: debug", "level: chatty", 1), "3", "log.level"},
		{"rules: [", "1", ""},
	} {
		const word = "was not reloaded"
		count := strings.Count(r.daemon.Output(), word)
		r.write(c.broken)
		r.reload()
		eventually(t, "the refusal", func() bool { return strings.Count(r.daemon.Output(), word) > count })
		all := r.records()
		why := all[len(all)-1].Why
		for _, part := range []string{r.config + ":" + c.line, c.key} {
			if !strings.Contains(why, part) {
				t.Errorf("%q is not in the log's %q", part, why)
			}
		}
	}
	if now := ours(r.state()); now != before {
		t.Errorf("bad files changed something:\n%s", difference(before, now))
	}
	c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
	roundTrip(t, c, dialogue.PORT, server)
	r.stop()
}

// TestReloadSettings: every other setting takes effect as well.
func TestReloadSettings(t *testing.T) {
	eachVariant(t, lab.Options{}, func(t *testing.T, r *router) {
		server := r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{Passive: passiveRange})
		r.run("ip", "link", "add", "spare0", "type", "bridge")
		before := r.state()
		const config = `
interfaces: {lan: [%s], wan: [wan0]}
log: {level: %s}
data_ports: %s
listen_port: %d
status: {listen: ""}
firewall: {pinhole_timeout: %s}
rules:
  - {name: out, direction: outbound}
`
		client := r.Host(lab.Client)
		r.start(fmt.Sprintf(config, "spare0", "info", "50000-50009", 2121, "60s"))
		if try(t, client, server.Address(false)) {
			t.Fatal("an interface that is not configured was taken over, so this test shows nothing")
		}
		r.reloadWith(t, fmt.Sprintf(config, "lan0", "info", "50000-50009", 2121, "60s"))
		old := login(t, client, "203.0.113.20:21", dialogue.Options{})
		roundTrip(t, old, dialogue.PORT, server)
		if said := of(r.records(), announces); len(said) > 0 {
			t.Errorf("at level info there is %+v", said[0])
		}
		r.reloadWith(t, fmt.Sprintf(config, "lan0", "debug", "51000-51009", 2222, "2s"))
		roundTrip(t, old, dialogue.PORT, server)
		c := login(t, client, "203.0.113.20:21", dialogue.Options{})
		roundTrip(t, c, dialogue.PORT, server)
		if port := announced(t, r, c).Port(); port < 51000 || port > 51009 {
			t.Errorf("port %d was lent", port)
		}
		r.listensAt(t, 2222)
		if lived := r.pinholeLife(t, c); lived > 5*time.Second {
			t.Errorf("the pinhole lived for %s", lived)
		}
		r.quit(t, c)
		r.quit(t, old)
		r.reloadWith(t, fmt.Sprintf(config, "spare0", "debug", "51000-51009", 2222, "2s"))
		if try(t, client, server.Address(false)) {
			t.Error("an interface is taken over that is not configured any more")
		}
		r.stop()
		if after := r.state(); after != before {
			t.Errorf("traces are left:\n%s", difference(before, after))
		}
	})
}

// pinholeLife is how long an unused pinhole is there.
func (r *router) pinholeLife(t *testing.T, c *dialogue.Client) time.Duration {
	t.Helper()
	if _, err := c.Open(dialogue.PASV); err != nil {
		t.Fatal(err)
	}
	if r.gates() == "" {
		t.Fatal("there is no pinhole, so this test shows nothing")
	}
	begin := time.Now()
	eventually(t, "the end of the pinhole", func() bool { return r.gates() == "" })
	return time.Since(begin)
}

// listensAt looks at the gateway's sockets: it listens on that port alone.
func (r *router) listensAt(t *testing.T, port int) {
	t.Helper()
	listening := r.run("ss", "-Hltn")
	ports := regexp.MustCompile(`(?m)^LISTEN\s+\d+\s+\d+\s+\S+:(\d+)\s`).FindAllStringSubmatch(listening, -1)
	if len(ports) == 0 {
		t.Fatalf("nothing listens:\n%s", listening)
	}
	for _, found := range ports {
		if found[1] != fmt.Sprint(port) {
			t.Errorf("the gateway listens on %s", found[1])
		}
	}
}

// TestReloadLasting: what changes only with a restart is refused by the gateway, which says so where people look, and by
// the check that the unit makes before; an ordinary check warns.
func TestReloadLasting(t *testing.T) {
	r := newRouter(t, lab.Options{})
	server := r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{})
	config := plain + "firewall: {backend: " + backend() + "}\n"
	other := map[string]string{"nftables": "iptables", "iptables": "nftables"}[backend()]
	r.start(config)
	check := func(args ...string) (string, int) {
		cmd := r.Host(lab.Router).Command(t.Context(), gatewayBinary, append([]string{"check", "--config", r.config}, args...)...)
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	for refused, c := range []struct{ key, value, config string }{
		{"log.format", "console", strings.Replace(config, "level: debug", "level: debug, format: console", 1)},
		{"firewall.backend", other, plain + "firewall: {backend: " + other + "}\n"},
		{"firewall.iptables", "legacy", plain + "firewall: {backend: iptables, iptables: legacy}\n"},
	} {
		r.write(c.config)
		where := regexp.MustCompile(regexp.QuoteMeta(r.config) + `:\d+: ` + c.key + `: "` + c.value + `": .*only with a restart.*; stop it and start it again`)
		if out, code := check(); code != 0 || !where.MatchString(out) {
			t.Errorf("check: exit %d: %s", code, out)
		}
		if out, code := check("--reload"); code != exitUsage || !where.MatchString(out) {
			t.Errorf("check --reload: exit %d: %s", code, out)
		}
		r.reload()
		eventually(t, "the refusal", func() bool { return strings.Count(r.daemon.Output(), "was not reloaded") > refused })
		if s := read[status.StatusJSON](t, r, "/api/v1/status"); !where.MatchString(s.ReloadError) {
			t.Errorf("the endpoint tells of the last reload: %q", s.ReloadError)
		}
		if out := r.run(gatewayBinary, "status", "--config", r.config); !strings.Contains(out, "refused: ") || !strings.Contains(out, c.key) {
			t.Errorf("ftpgate status:\n%s", out)
		}
	}
	r.write(config)
	if out, code := check("--reload"); code != 0 {
		t.Errorf("what runs already: exit %d: %s", code, out)
	}
	roundTrip(t, login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{}), dialogue.PASV, server)
	r.stop()
}
