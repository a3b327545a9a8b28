//go:build kernel

package firewalltest

import (
	"os"
	"os/exec"
	"strings"

	"github.com/ftpgate/ftpgate/firewall"
)

// repair: whatever another program does to our rules is found, said and undone.
func repair(s *subject) {
	b := s.installed()
	e := s.listen(s.server, s.serverAddr(), 4001)
	public := port(s.wanAddr(), 50001)
	client := port(s.clientAddr(), 0)
	for _, damage := range []struct {
		name string
		do   func()
	}{
		{"everything flushed", func() { s.host("-F"); s.host("-t nat -F"); s.host("-t mangle -F") }},
		{"the tables written anew", func() { s.restore("*filter\nCOMMIT\n*nat\nCOMMIT\n*mangle\nCOMMIT\n") }},
		{"the jumps doubled", func() { s.doubleJumps() }},
		{"a pinhole more", s.eachOwn("-A", " -j RETURN")},
		{"our chains flushed", s.eachOwn("-F", "")},
	} {
		h := s.hole(public, func(h *firewall.Hole) { h.Target, h.SourceAs = e.addr, s.wanAddr() })
		s.open(b, h)
		damage.do()
		repaired, err := b.Verify([]firewall.Hole{h})
		s.must("repairing after "+damage.name, err)
		if len(repaired) == 0 {
			s.Errorf("after %s Verify found nothing wrong", damage.name)
		}
		s.Logf("after %s: %s", damage.name, strings.Join(repaired, "; "))
		s.quiet(b, h)
		s.ensureDenied()
		s.admitted(client, public, e, port(s.wanAddr(), 0))
		s.refused("a second connection", client, public)
		s.shut(b, h)
	}
}

// ensureDenied puts back what a flush took of the host's own rules.
func (s *subject) ensureDenied() {
	s.host("-P FORWARD DROP")
	s.host("-P INPUT DROP")
	if !s.four {
		s.host("-A INPUT -p icmpv6 -j ACCEPT")
	}
}

func (s *subject) restore(text string) {
	s.Helper()
	s.in(s.router, "writing the tables anew", func() error {
		cmd := exec.Command(s.program("-restore"), "-w", "5")
		cmd.Stdin = strings.NewReader(text)
		cmd.Stderr = os.Stderr
		return cmd.Run()
	})
}

// doubleJumps appends every rule of a chain of the host that bears our comment once more.
func (s *subject) doubleJumps() {
	var again strings.Builder
	for line := range strings.Lines(s.output("reading the rules", s.program("-save"))) {
		switch {
		case strings.HasPrefix(line, "*"), line == "COMMIT\n":
			again.WriteString(line)
		case strings.HasPrefix(line, "-A ") && !strings.HasPrefix(line, "-A FTPGATE") && strings.Contains(line, "ftpgate"):
			again.WriteString(line)
		}
	}
	s.in(s.router, "doubling the jumps", func() error {
		cmd := exec.Command(s.program("-restore"), "--noflush", "-w", "5")
		cmd.Stdin = strings.NewReader(again.String())
		return cmd.Run()
	})
}

// eachOwn runs a command of iptables for every chain of ours that the host's iptables shows.
func (s *subject) eachOwn(command, rest string) func() {
	return func() {
		table := ""
		for line := range strings.Lines(s.output("reading the rules", s.program("-save"))) {
			if strings.HasPrefix(line, "*") {
				table = strings.TrimSpace(line[1:])
			}
			if name, _, _ := strings.Cut(line, " "); strings.HasPrefix(name, ":FTPGATE") {
				s.host("-t " + table + " " + command + " " + name[1:] + rest)
			}
		}
	}
}
