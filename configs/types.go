package configs

import (
	"net/netip"
	"slices"
	"strconv"
)

// Direction is the side that a rule's clients are on.
type Direction string

const (
	Outbound Direction = "outbound" // LAN clients, servers outside
	Inbound  Direction = "inbound"  // clients outside, servers on the LAN
)

// Backend names the packet filter that holds the pinholes.
type Backend string

const (
	BackendAuto     Backend = "auto" // nftables where kernel and host allow it, else iptables
	BackendNFTables Backend = "nftables"
	BackendIPTables Backend = "iptables"
)

// IPTables names the variant of iptables that holds the host's rules. Rules of both variants are in force at once, so
// an accept in one does not help against a drop in the other.
type IPTables string

const (
	IPTablesAuto   IPTables = "auto" // the one that holds the host's rules already
	IPTablesNFT    IPTables = "nft"
	IPTablesLegacy IPTables = "legacy"
)

// ForeignAddress says what becomes of an address in PORT or EPRT that is not the client's own.
type ForeignAddress string

const (
	ForeignRefuse     ForeignAddress = "refuse"
	ForeignSubstitute ForeignAddress = "substitute" // take the client's address instead
)

// Path is the way that data takes through the router.
type Path string

const (
	PathAuto   Path = "auto"   // the kernel, unless a rule needs the bytes in user space
	PathKernel Path = "kernel" // never user space
)

// TLSClient says what a client's AUTH gets.
type TLSClient string

const (
	TLSPassthrough TLSClient = "passthrough" // goes to the server; after its 234 the gateway is blind
	TLSRefuse      TLSClient = "refuse"      // 534, and AUTH is taken out of FEAT
)

// Preset is a named set of verbs.
type Preset string

const (
	PresetFull       Preset = "full"
	PresetReadOnly   Preset = "read_only"
	PresetUploadOnly Preset = "upload_only"
)

// LogLevel is the least severe level that is logged.
type LogLevel string

const (
	LevelDebug LogLevel = "debug"
	LevelInfo  LogLevel = "info"
	LevelWarn  LogLevel = "warn"
	LevelError LogLevel = "error"
)

// LogFormat is the form of a log line.
type LogFormat string

const (
	FormatJSON    LogFormat = "json"
	FormatConsole LogFormat = "console"
)

// PortRange is the ports First to Last, both included.
type PortRange struct {
	First, Last uint16
}

// Contains tells whether port is in the range.
func (p PortRange) Contains(port uint16) bool { return p.First <= port && port <= p.Last }

// String is the range as the file states it: "50000-51999".
func (p PortRange) String() string {
	return strconv.Itoa(int(p.First)) + "-" + strconv.Itoa(int(p.Last))
}

// Advertise is what another NAT in front shows of this router: an address or a host name, never both. Zero: nothing is
// in front.
type Advertise struct {
	Address netip.Addr // no zone, not IPv4-mapped
	Host    string     // lower case; to be resolved again from time to time
}

// String is the value as the file states it.
func (a Advertise) String() string {
	if a.Address.IsValid() {
		return a.Address.String()
	}
	return a.Host
}

// Networks is a set of addresses. The file's "any" is both whole families ([AnyNetwork]), so that an empty set holds
// nothing: a set that was never filled admits nobody.
type Networks []netip.Prefix

// AnyNetwork holds every address of both families.
func AnyNetwork() Networks {
	return Networks{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
}

// Any tells whether the set is the file's "any".
func (n Networks) Any() bool { return slices.Equal(n, AnyNetwork()) }

// everywhere tells whether the set names nobody in particular: it holds a whole family.
func (n Networks) everywhere() bool {
	return slices.ContainsFunc(n, func(p netip.Prefix) bool { return p.Bits() == 0 })
}

// covers tells whether each network of other lies within one of n's.
func (n Networks) covers(other Networks) bool {
	for _, inner := range other {
		if !slices.ContainsFunc(n, func(outer netip.Prefix) bool {
			return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
		}) {
			return false
		}
	}
	return true
}

// families tells which address families the set has addresses of.
func (n Networks) families() families {
	var f families
	for _, p := range n {
		f.add(p.Addr())
	}
	return f
}

// families is a set of address families.
type families struct{ v4, v6 bool }

func (f *families) add(address netip.Addr) {
	f.v4 = f.v4 || address.Is4()
	f.v6 = f.v6 || address.Is6()
}

func (f families) has(address netip.Addr) bool { return address.Is4() && f.v4 || address.Is6() && f.v6 }

func (f families) and(other families) families {
	return families{v4: f.v4 && other.v4, v6: f.v6 && other.v6}
}
