//go:build kernel

package firewalltest

import (
	"strconv"
	"strings"

	"github.com/google/nftables"

	"github.com/ftpgate/ftpgate/firewall"
)

// noTrace: the host has rules of its own in all tables, and has them still.
func noTrace(s *subject) {
	s.rules.deny()
	s.rules.furnish()
	s.leavesNothing()
}

// noTraceEmptyHost: the host has nothing, not even the tables that iptables-nft makes.
func noTraceEmptyHost(s *subject) { s.leavesNothing() }

func (s *subject) leavesNothing() {
	before := s.snapshot()
	b := s.backend()
	s.must("installing", b.Install(s.frame()))
	holes := []firewall.Hole{s.hole(port(s.serverAddr(), 4001)), s.hole(port(s.serverAddr(), 4002))}
	s.open(b, holes...)
	s.shut(b, holes[0])
	s.quiet(b, holes[1])
	s.must("removing", b.Remove())
	if after := s.snapshot(); after != before {
		s.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// crash: a backend that was killed leaves rules; the next one removes them, whoever made the chains they hang in.
func crash(s *subject) {
	s.rules.deny()
	s.rules.furnish()
	before := s.snapshot()
	e := s.listen(s.server, s.serverAddr(), 4001)
	client := port(s.clientAddr(), 0)

	killed := s.backend()
	s.must("installing", killed.Install(s.frame()))
	s.open(killed, s.hole(e.addr))

	b := s.backend()
	s.must("installing after a crash", b.Install(s.frame()))
	s.quiet(b)
	s.refused("a pinhole from before the crash", client, e.addr)
	s.open(b, s.hole(e.addr))
	s.admitted(client, e.addr, e, client)
	s.must("removing", b.Remove())
	if after := s.snapshot(); after != before {
		s.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func ours(save string) bool { return strings.Contains(strings.ToLower(save), "ftpgate") }

// snapshot is all rules of the host, without counters and dates, and the tables and chains that nf_tables has.
func (s *subject) snapshot() string {
	s.Helper()
	var b strings.Builder
	b.WriteString(s.rules.snapshot())
	s.in(s.router, "listing nf_tables", func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		tables, err := conn.ListTables()
		if err != nil {
			return err
		}
		for _, t := range tables {
			b.WriteString("nf_tables " + strconv.Itoa(int(t.Family)) + " " + t.Name + "\n")
		}
		chains, err := conn.ListChains()
		for _, c := range chains {
			b.WriteString("nf_tables " + c.Table.Name + " " + c.Name + "\n")
		}
		return err
	})
	return b.String()
}
