//go:build deploy

package packages

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// TestDeployment is the life of the package on a router, from its installation to its purge.
func TestDeployment(t *testing.T) {
	g := newGateway(t, lab.Options{Filter: lab.FilterBare})
	g.isOnline(t)
	rules, files := g.state(), g.files()
	for _, step := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"installed, it waits for a configuration", g.isInstalled},
		{"confined", g.isConfined},
		{"all flows", g.transferInAllFlows},
		{"journal", g.tellsTheJournal},
		{"reload", g.reloads},
		{"logrotate", g.isRotated},
		{"fail2ban", g.bans},
		{"upgrade", g.isUpgraded},
		{"upgrade that does not fit", g.keepsTheOld},
		{"watchdog", g.isWatched},
		{"crash", g.crashes},
		{"boot", g.boots},
		{"stop", func(t *testing.T) { g.stops(t, rules) }},
		{"remove", func(t *testing.T) { g.isRemoved(t, rules) }},
		{"purge", func(t *testing.T) { g.isPurged(t, rules, files) }},
	} {
		if !t.Run(step.name, func(t *testing.T) {
			outer := g.t
			g.t = t
			defer func() { g.t = outer }()
			step.do(t)
		}) {
			break // the next steps build on this one
		}
	}
}

func (g *gateway) isInstalled(t *testing.T) {
	rules := g.state()
	g.install(g.old)
	if active, why := g.property("ActiveState"), g.property("Result"); active != "inactive" || why != "exec-condition" {
		t.Errorf("after the installation the unit is %s, %s", active, why)
	}
	if enabled := g.must("systemctl", "is-enabled", "ftpgate.service"); enabled != "enabled\n" {
		t.Errorf("after the installation the unit is %s", enabled)
	}
	if now := g.state(); now != rules {
		t.Error("the installation has changed rules or settings")
	}
	if said := g.must("journalctl", "--unit=ftpgate", "--output=cat"); !strings.Contains(said, "write your interfaces and rules into") {
		t.Errorf("nobody is told what to do: %s", said)
	}
	// The configuration of the package is a good one, and concerns no interface that there is.
	g.must("ftpgate", "check")
	g.asksForTheUser(t)
	// Who edits no more of it than it says gets a gateway.
	g.must("sed", "-i", `s/\[EDIT-ME\]/[lan0]/; s/\[EDIT-ME-TOO\]/[wan0]/`, "/etc/ftpgate/ftpgate.yaml")
	g.must("systemctl", "start", "ftpgate.service")
	g.ready()
	g.isSetUp(t)
	if got := g.must("ftpgate", "version"); !strings.Contains(got, "v0.9.0") {
		t.Errorf("version %s", got)
	}
}

// asksForTheUser: what root can open is tried as the user of the unit, in its sandbox, before it runs.
func (g *gateway) asksForTheUser(t *testing.T) {
	const config, token = "/etc/ftpgate/new.yaml", "/etc/ftpgate/token"
	defer g.must("rm", "-f", config, token)
	write := func(audit string) {
		g.write(config, "interfaces: {lan: [lan0], wan: [wan0]}\nrules:\n  - {name: a, direction: outbound}\nstatus: {token_file: "+token+"}\naudit: {transfers: "+audit+"}\n")
	}
	check := func() string { out, _ := g.run("ftpgate", "check", "--config", config); return out }
	write("/var/log/ftpgate/transfers.json") // which the unit makes
	g.must("sh", "-c", "umask 077; head -c 24 /dev/urandom | base64 >"+token)
	out := check()
	cure := "chgrp ftpgate " + token + " && chmod g+r " + token
	if !strings.Contains(out, "user ftpgate, as which ftpgate.service runs it") || !strings.Contains(out, cure) || strings.Contains(out, "audit") {
		t.Errorf("a token of root: %s", out)
	}
	g.must("sh", "-c", cure)
	if out := check(); !strings.Contains(out, "good") {
		t.Errorf("a token of the group: %s", out)
	}
	write("/srv/transfers.json")
	if out := check(); !strings.Contains(out, "ReadWritePaths=/srv") {
		t.Errorf("an audit file outside of the sandbox: %s", out)
	}
}

// isSetUp has ftpgate setup write the configuration, which the administrator then extends.
func (g *gateway) isSetUp(t *testing.T) {
	if out, err := g.run("ftpgate", "setup", "--yes", "--publish", "192.168.50.20"); err == nil || !strings.Contains(out, "--force") {
		t.Errorf("setup over a configuration that was edited: %v, %s", err, out)
	}
	g.must("ftpgate", "setup", "--yes", "--force", "--publish", "192.168.50.20", "--publish", "2001:db8:50::20")
	g.ready()
	path := filepath.Join(g.root, "etc/ftpgate/ftpgate.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := strings.Cut(string(text), "\nrules:\n")
	if !found {
		t.Fatalf("setup has written no rules:\n%s", text)
	}
	extended := before + "\naudit: {transfers: /var/log/ftpgate/transfers.json, xferlog: /var/log/ftpgate/xferlog}\nrules:\n" +
		`  - {name: routed, direction: outbound, clients: ["2001:db8:50::/64"], preserve_client_address: true}` + "\n" +
		`  - {name: guarded, direction: inbound, ports: [2100], server: "192.168.50.20:2100", users: {deny: [root]}}` + "\n" + after
	if err := os.WriteFile(path, []byte(extended), 0o640); err != nil { // of the file that is there: its owner and mode stay
		t.Fatal(err)
	}
	g.must("ftpgate", "check")
	g.must("systemctl", "restart", "ftpgate.service")
	g.ready()
}

// isConfined looks at the process as the kernel has it, not as the unit would.
func (g *gateway) isConfined(t *testing.T) {
	pid := g.property("MainPID")
	status := g.must("cat", "/proc/"+pid+"/status")
	uid := strings.TrimSpace(g.must("id", "-u", "ftpgate"))
	for _, want := range []string{
		`(?m)^Uid:\t` + uid + `\t` + uid + `\t`, `(?m)^NoNewPrivs:\t1$`, `(?m)^Seccomp:\t2$`,
		// CAP_NET_BIND_SERVICE is 10, CAP_NET_ADMIN 12, CAP_NET_RAW 13.
		`(?m)^CapEff:\t0000000000003400$`, `(?m)^CapPrm:\t0000000000003400$`, `(?m)^CapBnd:\t0000000000003400$`, `(?m)^CapAmb:\t0000000000003400$`,
	} {
		if !regexp.MustCompile(want).MatchString(status) {
			t.Errorf("%s is not in\n%s", want, status)
		}
	}
	// In the daemon's mounts only its own directories can be written.
	for path, writable := range map[string]bool{
		"/etc": false, "/usr": false, "/var/lib": false, "/root": false, "/proc/sys/kernel": false,
		"/run/ftpgate": true, "/var/log/ftpgate": true, "/run/xtables.lock": true, "/proc/sys/net": true,
	} {
		options := g.must("nsenter", "--target", pid, "--mount", "findmnt", "--noheadings", "--output=VFS-OPTIONS", "--target", path)
		last := strings.Fields(options)
		if got := strings.HasPrefix(last[len(last)-1], "rw"); got != writable {
			t.Errorf("%s is mounted %s", path, options)
		}
	}
	out, err := g.run("systemd-analyze", "security", "--threshold=30", "--no-pager", "ftpgate.service")
	level := regexp.MustCompile(`Overall exposure level[^\n]*`).FindString(out)
	if t.Log(level); err != nil || level == "" {
		t.Errorf("%v\n%s", err, out)
	}
}

// tellsTheJournal looks for entries by their fields.
func (g *gateway) tellsTheJournal(t *testing.T) {
	var entries string
	g.eventually(patience, "the end of a session in the journal", func() bool {
		entries = g.must("journalctl", "--output=json", "--unit=ftpgate", "FTPGATE_CLIENT=192.168.50.10", "FTPGATE_SERVER=203.0.113.20", "FTPGATE_RULE=office")
		return strings.Contains(entries, `\"message\":\"session ended\"`)
	})
	for _, want := range []string{`"FTPGATE_SESSION":"`, `"FTPGATE_USER":"` + peers.User + `"`, `"FTPGATE_WHY":"QUIT"`, `"PRIORITY":"6"`, `"SYSLOG_IDENTIFIER":"ftpgate"`} {
		if !strings.Contains(entries, want) {
			t.Errorf("%s is not in\n%s", want, entries)
		}
	}
}

func (g *gateway) reloads(t *testing.T) {
	pid := g.property("MainPID")
	good := filepath.Join(g.root, "etc/ftpgate/ftpgate.yaml")
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	c := g.login(lab.Client, "", "203.0.113.20:21")
	g.must("systemctl", "reload", "ftpgate.service")
	g.ready()
	g.roundTrip(c, dialogue.PASV, lab.Outside)
	g.write("etc/ftpgate/ftpgate.yaml", string(content)+"unknown: 1\n")
	if out, err := g.run("systemctl", "reload", "ftpgate.service"); err == nil {
		t.Errorf("a bad configuration was reloaded: %s", out)
	}
	g.write("etc/ftpgate/ftpgate.yaml", string(content)+"log: {format: console}\n")
	if out, err := g.run("systemctl", "reload", "ftpgate.service"); err == nil {
		t.Errorf("what changes only with a restart was reloaded: %s", out)
	}
	if said := g.must("journalctl", "--unit=ftpgate", "--output=cat"); !strings.Contains(said, "log.format changes only with a restart") || !strings.Contains(said, "systemctl restart ftpgate.service") {
		t.Errorf("the journal does not say why: %s", said)
	}
	g.write("etc/ftpgate/ftpgate.yaml", string(content))
	g.ready()
	g.roundTrip(c, dialogue.PORT, lab.Outside)
	if now := g.property("MainPID"); now != pid {
		t.Errorf("process %s has become %s", pid, now)
	}
}

// isRotated has logrotate rename the audit files.
func (g *gateway) isRotated(t *testing.T) {
	dir := filepath.Join(g.root, "var/log/ftpgate")
	g.eventually(patience, "accounts of transfers", func() bool {
		text, _ := os.ReadFile(filepath.Join(dir, "transfers.json"))
		return bytes.Count(text, []byte("\n")) > 10
	})
	g.must("logrotate", "--force", "/etc/logrotate.d/ftpgate")
	g.eventually(patience, "new audit files", func() bool {
		_, one := os.Stat(filepath.Join(dir, "transfers.json"))
		_, two := os.Stat(filepath.Join(dir, "xferlog"))
		return one == nil && two == nil
	})
	g.roundTrip(g.login(lab.Client, "", "203.0.113.20:21"), dialogue.EPSV, lab.Outside)
	for _, name := range []string{"transfers.json.1", "xferlog.1", "transfers.json", "xferlog"} {
		g.eventually(patience, "lines in "+name, func() bool {
			info, err := os.Stat(filepath.Join(dir, name))
			return err == nil && info.Size() > 0 && info.Mode().Perm() == 0o640
		})
	}
	g.ready()
}

// bans has fail2ban keep out who tries passwords, and nobody else.
func (g *gateway) bans(t *testing.T) {
	// The other servers of the lab take any password.
	s, err := peers.Pyftpdlib().Start(t.Context(), g.Host(lab.Server), peers.ServerOptions{Port: 2100, Passive: serverPorts})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	const jail = "etc/fail2ban/jail.d/zz-test.conf"
	g.write(jail, "[sshd]\nenabled = false\n[ftpgate]\nenabled = true\nmaxretry = 3\nport = 21,2100\n")
	defer os.Remove(filepath.Join(g.root, jail))
	g.must("systemctl", "restart", "fail2ban.service")
	defer g.run("systemctl", "stop", "fail2ban.service")
	status := func() string { out, _ := g.run("fail2ban-client", "status", "ftpgate"); return out }
	g.eventually(patience, "the jail", func() bool { return strings.Contains(status(), "Banned IP list") })

	public := netip.MustParseAddrPort("203.0.113.1:2100")
	o := dialogue.Options{Timeout: 5 * time.Second}
	c, err := dialogue.Dial(t.Context(), g.Host(lab.Third), public, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// Refused by the server, with what could be invented so that somebody else is banned, and by the rule.
	for _, name := range []string{`x","client":"203.0.113.20:1","server`, "root", peers.User} {
		if reply, err := c.Cmd("USER " + name); err == nil && reply.Code == 331 {
			if _, err := c.Want(530, "PASS wrong"); err != nil {
				t.Error(err)
			}
		}
	}
	g.eventually(patience, "a ban", func() bool { return strings.Contains(status(), "203.0.113.66") })
	g.eventually(patience, "a ban that holds", func() bool {
		again, err := dialogue.Dial(t.Context(), g.Host(lab.Third), public, o)
		if err == nil {
			again.Close()
		}
		return err != nil
	})
	if strings.Contains(status(), "203.0.113.20") {
		t.Errorf("the wrong one is banned: %s", status())
	}
	g.roundTrip(g.login(lab.Outside, "", "203.0.113.1:21"), dialogue.PASV, lab.Server)
}
