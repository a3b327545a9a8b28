//go:build kernel

package firewalltest

import (
	"strings"

	"github.com/ftpgate/ftpgate/firewall"
)

// repair: whatever another program does to our rules is found, said and undone.
func repair(s *subject) {
	b := s.installed()
	e := s.listen(s.server, s.serverAddr(), 4001)
	public := port(s.wanAddr(), 50001)
	client := port(s.clientAddr(), 0)
	for _, damage := range s.allDamages() {
		h := s.hole(public, func(h *firewall.Hole) { h.Target, h.SourceAs = e.addr, s.wanAddr() })
		s.open(b, h)
		damage.do()
		found, err := b.Verify([]firewall.Hole{h})
		s.must("repairing after "+damage.name, err)
		if len(found.Repaired) == 0 {
			s.Errorf("after %s Verify found nothing wrong", damage.name)
		}
		s.Logf("after %s: %s", damage.name, strings.Join(found.Repaired, "; "))
		s.quiet(b, h)
		s.rules.ensureDenied()
		s.admitted(client, public, e, port(s.wanAddr(), 0))
		s.refused("a second connection", client, public)
		s.shut(b, h)
		_, err = b.Verify(nil) // sees what was written to deny: a change of the host's, before which nothing opens
		s.must("looking at what denies", err)
	}
}

// allDamages are those to our rules among the host's and to what the backend has of its own.
func (s *subject) allDamages() []damage {
	damages := s.rules.damages()
	if s.config.Damages != nil {
		for _, command := range s.config.Damages(s.four) {
			damages = append(damages, damage{command, func() { s.output("spoiling the rules", "/bin/sh", "-c", command) }})
		}
	}
	return damages
}
