package iptables

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/firewall"
)

const (
	someRules  = "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n"
	filterDrop = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
	onlyOurs   = "*filter\n:INPUT ACCEPT [0:0]\n:FTPGATE-INPUT - [0:0]\n-A INPUT -m comment --comment ftpgate -j FTPGATE-INPUT\n" +
		"-A FTPGATE-INPUT -j ACCEPT\nCOMMIT\n"
)

// machine is a host with fake programs of iptables.
type machine struct {
	t      *testing.T
	dir    string
	legacy bool // the namespace lists legacy tables
}

// install writes the programs of a name: the version they give and what they show as the host's rules. Each run is noted.
func (m machine) install(name, version, save string) {
	m.t.Helper()
	for suffix, script := range map[string]string{
		"":         "echo '" + version + "'",
		"-save":    "echo " + name + " >>" + m.dir + "/asked\ncat <<'END'\n" + save + "END",
		"-restore": "exit 1",
	} {
		text := "#!/bin/sh\n" + script + "\n"
		if err := os.WriteFile(filepath.Join(m.dir, name+suffix), []byte(text), 0o755); err != nil {
			m.t.Fatal(err)
		}
	}
}

// breaks lets a program fail.
func (m machine) breaks(name, said string) {
	m.t.Helper()
	script := "#!/bin/sh\necho '" + said + "' >&2; exit 4\n"
	if err := os.WriteFile(filepath.Join(m.dir, name+"-save"), []byte(script), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

func (m machine) host() host {
	return host{
		locate: func(program string) string {
			path := filepath.Join(m.dir, program)
			if _, err := os.Stat(path); err != nil {
				return ""
			}
			return path
		},
		legacyInUse: func(bool) bool { return m.legacy },
	}
}

const (
	saysNFT    = "iptables v1.8.9 (nf_tables)"
	saysLegacy = "iptables v1.8.9 (legacy)"
	saysOld    = "iptables v1.6.1"
)

func TestChoose(t *testing.T) {
	both := func(m machine, nft, legacy string) {
		m.install("iptables-nft", saysNFT, nft)
		m.install("iptables-legacy", saysLegacy, legacy)
	}
	for _, c := range []struct {
		name    string
		wanted  Variant
		set     func(m *machine)
		want    Variant
		reason  string
		warning bool
		err     error
	}{
		{name: "rules in nft", set: func(m *machine) { both(*m, someRules, ""); m.install("iptables", saysLegacy, "") },
			want: NFT, reason: "holds the host's 1 rules"},
		{name: "rules in legacy", set: func(m *machine) { both(*m, "", someRules); m.legacy = true; m.install("iptables", saysNFT, "") },
			want: Legacy, reason: "holds the host's 1 rules"},
		{name: "a policy counts", set: func(m *machine) { both(*m, filterDrop, ""); m.install("iptables", saysLegacy, "") },
			want: NFT, reason: "holds the host's 1 rules"},
		{name: "no rules", set: func(m *machine) { both(*m, "", ""); m.legacy = true; m.install("iptables", saysLegacy, "") },
			want: Legacy, reason: "no rules yet"},
		{name: "leftovers of ours do not count", set: func(m *machine) { both(*m, onlyOurs, someRules); m.legacy = true; m.install("iptables", saysNFT, "") },
			want: Legacy, reason: "holds the host's 1 rules"},
		{name: "legacy is not asked when it has no tables", set: func(m *machine) { both(*m, "", someRules); m.install("iptables", saysNFT, "") },
			want: NFT, reason: "no rules yet"},
		{name: "both, one filters", set: func(m *machine) { both(*m, someRules, filterDrop); m.legacy = true; m.install("iptables", saysNFT, "") },
			want: Legacy, reason: "INPUT and FORWARD", warning: true},
		{name: "both, the other filters", set: func(m *machine) {
			both(*m, filterDrop, someRules)
			m.legacy = true
			m.install("iptables", saysLegacy, "")
		},
			want: NFT, reason: "INPUT and FORWARD", warning: true},
		{name: "both filter", set: func(m *machine) {
			both(*m, filterDrop, filterDrop)
			m.legacy = true
			m.install("iptables", saysNFT, "")
		},
			want: NFT, reason: "both variants", warning: true},
		{name: "plain iptables only, nft", set: func(m *machine) { m.install("iptables", saysNFT, someRules) },
			want: NFT, reason: "holds the host's 1 rules"},
		{name: "plain iptables only, old", set: func(m *machine) { m.install("iptables", saysOld, someRules); m.legacy = true },
			want: Legacy, reason: "holds the host's 1 rules"},
		{name: "no plain iptables", set: func(m *machine) { both(*m, "", "") }, want: NFT, reason: "no rules yet"},
		{name: "nft does not work", set: func(m *machine) {
			both(*m, "", "")
			m.install("iptables", saysNFT, "")
			m.breaks("iptables-nft", "Failed to initialize nft: Protocol not supported")
		}, want: Legacy, reason: "does not work", warning: true},
		{name: "not root", set: func(m *machine) {
			both(*m, "", "")
			m.breaks("iptables-nft", "Could not fetch rule set generation id: Permission denied (you must be root)")
		}, err: firewall.ErrUnavailable},
		{name: "told", wanted: Legacy, set: func(m *machine) { both(*m, someRules, "") }, want: Legacy, reason: "configuration"},
		{name: "told what is missing", wanted: Legacy, set: func(m *machine) { m.install("iptables", saysNFT, "") }, err: ErrNoProgram},
		{name: "nothing installed", set: func(m *machine) {}, err: ErrNoProgram},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &machine{t: t, dir: t.TempDir()}
			c.set(m)
			got, _, err := m.host().choose(c.wanted)
			if !errors.Is(err, c.err) || c.err == nil && err != nil {
				t.Fatalf("error %v", err)
			}
			if got.Variant != c.want || !strings.Contains(got.Reason, c.reason) || (got.Warning != "") != c.warning {
				t.Errorf("got %+v", got)
			}
			if asked, _ := os.ReadFile(m.dir + "/asked"); !m.legacy && strings.Contains(string(asked), "legacy") {
				t.Error("iptables-legacy was run, which makes tables")
			}
		})
	}
	if _, _, err := (host{locate: locate}).choose("nftables"); err == nil {
		t.Error("an unknown variant was accepted")
	}
}

// TestExplain: what an administrator reads when something is wrong.
func TestExplain(t *testing.T) {
	const script = "*nat\n-A FTPGATE-GATE -j NOSUCH\nCOMMIT\n"
	exit := func(code string) error { return exec.Command("/bin/sh", "-c", "exit "+code).Run() }
	for _, c := range []struct {
		said        string
		code        string
		want        []string
		unavailable bool
	}{
		{"iptables-restore v1.8.9 (nf_tables): \nline 2: RULE_APPEND failed (No such file or directory): rule in chain FTPGATE-GATE\n", "4",
			[]string{"RULE_APPEND failed", "[-A FTPGATE-GATE -j NOSUCH]"}, false},
		{"iptables-restore: line 3 failed\n", "1", []string{"line 3 failed"}, false},
		{"Another app is currently holding the xtables lock. Stopped waiting after 5s.\n", "4", []string{"xtables lock", "5 s"}, true},
		{"Fatal: can't open lock file /run/xtables.lock: Permission denied\n", "4", []string{"as root", "CAP_NET_ADMIN"}, true},
		{"iptables v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)\n", "4", []string{"as root"}, true},
		{"", "4", []string{"iptables-restore"}, true},
		{strings.Repeat("long ", 1000), "1", []string{"…"}, false},
	} {
		err := explain("iptables-restore", script, c.said, exit(c.code))
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "[COMMIT]") {
				t.Errorf("%q: got %q, want %q in it", c.said, err, want)
			}
		}
		if errors.Is(err, firewall.ErrUnavailable) != c.unavailable {
			t.Errorf("%q: ErrUnavailable is %v", c.said, !c.unavailable)
		}
	}
	if _, err := run("", "/no/such/program"); !errors.Is(err, firewall.ErrUnavailable) {
		t.Errorf("a program that is gone: %v", err)
	}
}

// TestDiagnose names what the kernel lacks.
func TestDiagnose(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "iptables-restore")
	script := "#!/bin/sh\nif grep -q -e 'hashlimit' -e TPROXY; then echo 'No chain/target/match by that name.' >&2; exit 1; fi\n"
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("line 7 failed")
	err := newFamily(true, Legacy, tools{restore: program}, "run0").diagnose(cause)
	if !errors.Is(err, ErrKernel) || !errors.Is(err, cause) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"match hashlimit (module xt_hashlimit)", "target TPROXY (module xt_TPROXY)"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	if strings.Contains(err.Error(), "xt_time") {
		t.Errorf("it has xt_time: %v", err)
	}
}
