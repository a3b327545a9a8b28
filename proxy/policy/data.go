package policy

import (
	"fmt"
	"net/netip"
	"slices"
)

// Ports that a client may not announce although they lie above 1023: a service
// there would obey bytes that an attacker chose, and a client may be made to
// announce it (RFC 1579, RFC 2577 §3). What a server announces is its own port,
// and servers that choose from all above 1023 take these now and then.
var deniedPorts = []struct{ first, last uint16 }{
	{1433, 1434},   // Microsoft SQL Server
	{1521, 1521},   // Oracle
	{2049, 2049},   // NFS
	{3306, 3306},   // MySQL
	{3389, 3389},   // Remote Desktop
	{5432, 5432},   // PostgreSQL
	{5900, 5906},   // VNC
	{6000, 6063},   // X11
	{6379, 6379},   // Redis
	{11211, 11211}, // memcached
	{27017, 27017}, // MongoDB
}

// DataPort returns a Refusal (504, RFC 2577 §3) for a port that no data
// connection may go to.
func DataPort(port uint16) error {
	if port < 1024 {
		return refuse(PortDenied, 504, "Data ports below 1024 are not allowed.", fmt.Sprintf("data port %d is below 1024", port))
	}
	return nil
}

// service returns a Refusal (504) for a port that belongs to another service.
func service(port uint16) error {
	for _, denied := range deniedPorts {
		if denied.first <= port && port <= denied.last {
			return refuse(PortDenied, 504, "This data port is not allowed.", fmt.Sprintf("data port %d belongs to another service", port))
		}
	}
	return nil
}

// Endpoint decides on the address and port of a PORT or EPRT command. It
// returns where the client really listens: never an address that the control
// connection does not come from. The error is a Refusal: 501 for a foreign
// address, 504 for a port.
func (r *Rule) Endpoint(claimed netip.AddrPort, client netip.Addr) (netip.AddrPort, error) {
	if claimed.Addr() != client && r.ForeignAddress != Substitute {
		return netip.AddrPort{}, refuse(ForeignData, 501, "The data address must be that of the control connection.",
			fmt.Sprintf("client announced the foreign address %s", claimed.Addr()))
	}
	for _, check := range []func(uint16) error{DataPort, service} {
		if err := check(claimed.Port()); err != nil {
			return netip.AddrPort{}, err
		}
	}
	return netip.AddrPortFrom(client, claimed.Port()), nil
}

// ActiveMode returns a Refusal (502) where clients may not use PORT and EPRT.
func (r *Rule) ActiveMode() error {
	if r.Active {
		return nil
	}
	return refuse(ModeDenied, 502, "Active mode is not allowed here, use passive mode.", "active mode is not in data.modes")
}

// PassiveMode returns a Refusal (502) where clients may not use PASV and EPSV.
func (r *Rule) PassiveMode() error {
	if r.Passive {
		return nil
	}
	return refuse(ModeDenied, 502, "Passive mode is not allowed here, use active mode.", "passive mode is not in data.modes")
}

// PortsOf returns every control port that rules of the direction take over, in
// ascending order.
func (rs Rules) PortsOf(d Direction) []uint16 {
	var ports []uint16
	for _, r := range rs {
		if r.Direction == d {
			ports = append(ports, r.Ports...)
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}
