//go:build kernel

package firewalltest

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"github.com/ftpgate/ftpgate/firewall"
)

// Config is what the contract is run for.
type Config struct {
	// Backend makes the backend; it is called on a thread in the namespace of the router.
	Backend func() (firewall.Backend, error)
	// Host is what the host's own rules are written by: iptables-nft, iptables-legacy, or nft.
	Host string
	// Damages, if not nil, are commands by which another program could spoil what the backend has of its own.
	Damages func(four bool) []string

	name string // of the test that called Run
}

// The numbers of the frame.
const (
	takeoverMark = 0x46000000
	pinholeMark  = 0x47000000
	markMask     = 0xff000000
	listenPort   = 2121
	life         = 30 * time.Second
)

// Run tests a backend in both families. The tests run in parallel: they mostly wait for packets that must not come.
func Run(t *testing.T, c Config) {
	if os.Getenv(victimEnv) != "" {
		victim(t, c)
	}
	c.name = t.Name()
	for _, four := range []bool{true, false} {
		name := "IPv6"
		if four {
			name = "IPv4"
		}
		t.Run(name, func(t *testing.T) {
			for _, test := range []struct {
				name string
				run  func(*subject)
			}{
				{"Pinholes", pinholes},
				{"Translation", translation},
				{"HostTranslates", hostTranslates},
				{"Alike", alike},
				{"Steered", steered},
				{"OneConnection", oneConnection},
				{"AtOnce", atOnce},
				{"Seen", seen},
				{"Batch", batch},
				{"BadHole", badHole},
				{"Expiry", expiry},
				{"Established", established},
				{"ToTheRouter", toTheRouter},
				{"Takeover", takeover},
				{"Reframe", reframe},
				{"Gateway", gateway},
				{"GatewayOfStrictHost", gatewayOfStrictHost},
				{"Repair", repair},
				{"RepairGateway", repairGateway},
				{"NoTrace", noTrace},
				{"NoTraceEmptyHost", noTraceEmptyHost},
				{"Crash", crash},
				{"Kill", kill},
				{"AnyOrder", anyOrder},
			} {
				t.Run(test.name, func(t *testing.T) {
					t.Parallel()
					test.run(&subject{lab: newLab(t, c.Host, four), config: c})
				})
			}
		})
	}
}

// subject is a backend on the router of a lab.
type subject struct {
	*lab
	config Config
	lastID uint64
}

// inside calls a backend in the namespace of the router.
type inside struct {
	firewall.Backend
	ns netns.NsHandle
}

func (i inside) Install(f firewall.Frame) error {
	return within(i.ns, func() error { return i.Backend.Install(f) })
}

func (i inside) Apply(open, shut []firewall.Hole) error {
	return within(i.ns, func() error { return i.Backend.Apply(open, shut) })
}

func (i inside) Verify(open []firewall.Hole) (found firewall.Found, err error) {
	err = within(i.ns, func() (err error) {
		found, err = i.Backend.Verify(open)
		return err
	})
	return found, err
}

func (i inside) Remove() error { return within(i.ns, i.Backend.Remove) }

func (s *subject) backend() firewall.Backend {
	s.Helper()
	i := inside{ns: s.router}
	s.in(s.router, "making the backend", func() (err error) {
		i.Backend, err = s.config.Backend()
		return err
	})
	return i
}

func (s *subject) frame() firewall.Frame {
	return firewall.Frame{
		Mark: takeoverMark, PinholeMark: pinholeMark, Mask: markMask,
		ListenPort:  listenPort,
		Takeovers:   []firewall.Takeover{{Interface: lan, Port: 21, Scope: firewall.RoutedOnly}},
		Returns:     []firewall.Return{{Interface: wan, Port: 21}},
		ServerPorts: []uint16{21},
		Refused:     firewall.RefusedLog{Group: refusedGroup, First: 50000, Last: 50999},
		IPv4:        s.four, IPv6: !s.four,
	}
}

// installed is a backend with its frame on a host that denies everything.
func (s *subject) installed() firewall.Backend {
	s.Helper()
	s.rules.deny()
	b := s.backend()
	s.must("installing", b.Install(s.frame()))
	return b
}

func (s *subject) must(what string, err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

// hole numbers a pinhole that admits the client on lan to the destination.
func (s *subject) hole(to netip.AddrPort, change ...func(*firewall.Hole)) firewall.Hole {
	s.lastID++
	h := firewall.Hole{
		Pinhole: firewall.Pinhole{Interface: lan, Source: s.clientAddr(), Destination: to, Session: 7},
		ID:      s.lastID,
		Expires: time.Now().Add(life),
	}
	for _, c := range change {
		c(&h)
	}
	return h
}

func (s *subject) open(b firewall.Backend, holes ...firewall.Hole) {
	s.Helper()
	s.must("opening", b.Apply(holes, nil))
}

func (s *subject) shut(b firewall.Backend, holes ...firewall.Hole) {
	s.Helper()
	s.must("shutting", b.Apply(nil, holes))
}

// quiet demands that Verify finds nothing wrong.
func (s *subject) quiet(b firewall.Backend, holes ...firewall.Hole) {
	s.Helper()
	found, err := b.Verify(holes)
	s.must("verifying", err)
	if found.Any() {
		s.Errorf("Verify repaired what was in order: %q", found)
	}
}

func port(a netip.Addr, p uint16) netip.AddrPort { return netip.AddrPortFrom(a, p) }
