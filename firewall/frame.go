package firewall

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrFrame is wrapped by the errors of [Frame.Validate].
var ErrFrame = errors.New("bad frame")

// Frame is the static part: what stands in the packet filter as long as the daemon runs, whoever is connected.
type Frame struct {
	// Mark is set on packets that belong to our transparent sockets, so that the host's policy routing hands them over.
	// A packet that leaves with it, from a socket of ours with SO_MARK, keeps its source though the host masquerades.
	// PinholeMark is the connection mark of data connections. The two differ so that a host which restores packet marks
	// from connection marks (multi-WAN, VPN) never turns a data packet into one of ours. Only the bits of Mask are
	// read and written; the others belong to the host.
	Mark, PinholeMark, Mask uint32

	// ListenPort is the port of the transparent listeners on 127.0.0.1 and ::1: nobody reaches those but by a Takeover.
	ListenPort uint16

	Takeovers []Takeover
	Returns   []Return

	// ServerPorts are the control ports of servers to which we connect: their replies pass the host's INPUT chain.
	ServerPorts []uint16

	// Refused tells of connections to lent ports that no pinhole has admitted; its Group 0: nobody wants to know.
	Refused RefusedLog

	// Gateway is what the packet filter does for the LAN beside FTP; the zero value: nothing.
	Gateway Gateway

	// IPv4 and IPv6 say which families are touched at all.
	IPv4, IPv6 bool
}

// RefusedLog sends the beginnings of connections to an address of this host, for the ports First to Last, that no pinhole has
// admitted, to a group of NFLOG. Their fate does not change. Only so many are sent: who scans the ports shall not fill
// the log of those who have a reason.
type RefusedLog struct {
	Group       uint16
	First, Last uint16
}

// How many packets a RefusedLog sends at most.
const (
	RefusedPerSecond = 20
	RefusedBurst     = 50
)

// RefusedPrefix is what NFLOG says beside each packet.
const RefusedPrefix = "ftpgate refused"

// Scope narrows a Takeover by the destination of the connection.
type Scope uint8

const (
	// RoutedOnly takes connections whose destination is not an address of this host.
	RoutedOnly Scope = iota + 1
	// LocalOnly takes connections to an address of this host, whichever it is at that moment.
	LocalOnly
	// Network takes connections into the prefix of Takeover.Network, an address of this host or not.
	Network
	// Established takes no new connection, only the packets of those that have been taken before: for sessions that
	// began under a former Frame.
	Established
)

// Takeover gives TCP connections that arrive on Interface for Port to the transparent listener.
type Takeover struct {
	Interface string
	Port      uint16
	Scope     Scope
	Network   netip.Prefix // with Scope Network; its family is the only one that is taken
}

// Return catches the packets of servers, arriving on Interface from Port, that are meant for a socket of ours which bears
// a client's address.
type Return struct {
	Interface string
	Port      uint16
}

// Concerns tells whether the takeover has a rule in the family.
func (t Takeover) Concerns(is4 bool) bool {
	return t.Scope != Network || t.Network.Addr().Is4() == is4
}

// Validate reports the first thing that no packet filter can express.
func (f Frame) Validate() error {
	switch {
	case !f.IPv4 && !f.IPv6:
		return fmt.Errorf("%w: no address family", ErrFrame)
	case f.ListenPort == 0:
		return fmt.Errorf("%w: no port to listen on", ErrFrame)
	case f.Mark&^f.Mask != 0 || f.PinholeMark&^f.Mask != 0:
		return fmt.Errorf("%w: marks %#x and %#x exceed the mask %#x", ErrFrame, f.Mark, f.PinholeMark, f.Mask)
	case f.Mark == 0 || f.PinholeMark == 0 || f.Mark == f.PinholeMark:
		return fmt.Errorf("%w: marks %#x and %#x must differ from each other and from 0", ErrFrame, f.Mark, f.PinholeMark)
	}
	if r := f.Refused; r.Group != 0 && (r.First == 0 || r.Last < r.First) {
		return fmt.Errorf("%w: no ports from %d to %d", ErrFrame, r.First, r.Last)
	}
	for _, t := range f.Takeovers {
		if err := t.validate(); err != nil {
			return fmt.Errorf("%w: takeover of port %d: %w", ErrFrame, t.Port, err)
		}
	}
	for _, r := range f.Returns {
		if err := validRule(r.Interface, r.Port); err != nil {
			return fmt.Errorf("%w: return from port %d: %w", ErrFrame, r.Port, err)
		}
	}
	if err := f.Gateway.validate(); err != nil {
		return fmt.Errorf("%w: gateway: %w", ErrFrame, err)
	}
	for _, p := range f.ServerPorts {
		if p == 0 {
			return fmt.Errorf("%w: server port 0", ErrFrame)
		}
	}
	return nil
}

func (t Takeover) validate() error {
	switch t.Scope {
	case RoutedOnly, LocalOnly, Established:
	case Network:
		if !t.Network.IsValid() || t.Network != t.Network.Masked() || t.Network.Addr().Is4In6() {
			return fmt.Errorf("%s is not a network", t.Network)
		}
	default:
		return fmt.Errorf("unknown scope %d", t.Scope)
	}
	return validRule(t.Interface, t.Port)
}

func validRule(iface string, port uint16) error {
	if port == 0 {
		return errors.New("no port")
	}
	return validInterface(iface)
}
