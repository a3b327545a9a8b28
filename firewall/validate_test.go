package firewall

import (
	"errors"
	"net/netip"
	"testing"
)

// TestValidatePinhole: what no rule can express, or what it would express as something wider.
func TestValidatePinhole(t *testing.T) {
	if err := pinhole(1).Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Pinhole){
		"no interface":        func(p *Pinhole) { p.Interface = "" },
		"interface pattern":   func(p *Pinhole) { p.Interface = "eth+" },
		"interface negated":   func(p *Pinhole) { p.Interface = "!eth0" },
		"interface option":    func(p *Pinhole) { p.Interface = "-j" },
		"interface space":     func(p *Pinhole) { p.Interface = "eth0 -j" },
		"interface quote":     func(p *Pinhole) { p.Interface = `eth"` },
		"long interface":      func(p *Pinhole) { p.Interface = "interface-of-16b" },
		"no source":           func(p *Pinhole) { p.Source = netip.Addr{} },
		"any source":          func(p *Pinhole) { p.Source = netip.IPv4Unspecified() },
		"multicast":           func(p *Pinhole) { p.Source = netip.MustParseAddr("224.0.0.1") },
		"no destination":      func(p *Pinhole) { p.Destination = netip.AddrPort{} },
		"destination port 0":  func(p *Pinhole) { p.Destination = netip.AddrPortFrom(p.Destination.Addr(), 0) },
		"target port 0":       func(p *Pinhole) { p.Target = netip.AddrPortFrom(p.Target.Addr(), 0) },
		"target without host": func(p *Pinhole) { p.Target = netip.AddrPortFrom(netip.Addr{}, 20) },
		"families":            func(p *Pinhole) { p.Target = netip.MustParseAddrPort("[2001:db8::1]:20") },
		"families of sources": func(p *Pinhole) { p.SourceAs = netip.MustParseAddr("2001:db8::1") },
		"mapped": func(p *Pinhole) {
			p.Source = netip.MustParseAddr("::ffff:192.0.2.1")
			p.Destination = netip.MustParseAddrPort("[2001:db8::1]:20")
			p.Target = netip.AddrPort{}
		},
		"zone": func(p *Pinhole) {
			p.Source = netip.MustParseAddr("fe80::1%eth0")
			p.Destination = netip.MustParseAddrPort("[2001:db8::1]:20")
			p.Target = netip.AddrPort{}
		},
	} {
		p := pinhole(1)
		spoil(&p)
		if err := p.Validate(); !errors.Is(err, ErrPinhole) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestValidateFrame(t *testing.T) {
	frame := func() Frame {
		f := testFrame
		f.Takeovers = []Takeover{{Interface: "lan0", Port: 21, Scope: RoutedOnly}}
		f.Returns = []Return{{Interface: "wan0", Port: 21}}
		f.ServerPorts = []uint16{21}
		f.Gateway = Gateway{LAN: []string{"lan0"}, WAN: []string{"wan0"}, Forward: true}
		return f
	}
	if err := frame().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Frame){
		"no family":        func(f *Frame) { f.IPv4 = false },
		"no listener":      func(f *Frame) { f.ListenPort = 0 },
		"marks are equal":  func(f *Frame) { f.PinholeMark = f.Mark },
		"mark outside":     func(f *Frame) { f.Mark |= 1 },
		"no mark":          func(f *Frame) { f.Mark = 0 },
		"no scope":         func(f *Frame) { f.Takeovers[0].Scope = 0 },
		"no network":       func(f *Frame) { f.Takeovers[0].Scope = Network },
		"host bits":        func(f *Frame) { f.Takeovers[0] = Takeover{"lan0", 21, Network, netip.MustParsePrefix("10.0.0.1/8")} },
		"takeover port 0":  func(f *Frame) { f.Takeovers[0].Port = 0 },
		"return port 0":    func(f *Frame) { f.Returns[0].Port = 0 },
		"return interface": func(f *Frame) { f.Returns[0].Interface = "" },
		"server port 0":    func(f *Frame) { f.ServerPorts[0] = 0 },
		"gateway of one":   func(f *Frame) { f.Gateway.WAN = nil },
		"gateway pattern":  func(f *Frame) { f.Gateway.LAN[0] = "lan+" },
	} {
		f := frame()
		spoil(&f)
		if err := f.Validate(); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestPinholeString(t *testing.T) {
	p := pinhole(1)
	p.SourcePort, p.SourceAs = 20, netip.MustParseAddr("198.51.100.9")
	const want = "192.0.2.1 port 20 on wan0 to 198.51.100.1:1025, led to 10.0.0.5:1025, seen as 198.51.100.9"
	if got := p.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
