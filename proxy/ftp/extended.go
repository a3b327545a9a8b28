package ftp

import (
	"bytes"
	"errors"
	"net/netip"
	"strconv"
)

// Network protocols of EPRT and EPSV (RFC 2428 §2).
const (
	familyIPv4 = "1"
	familyIPv6 = "2"
)

var (
	errNoExtendedPort   = errors.New("the 229 reply has no port in its final line")
	errTwoExtendedPorts = errors.New("the 229 reply has two different ports")
)

// ParseExtendedPort reads the argument of EPRT (RFC 2428 §2):
//
//	<d>family<d>address<d>port<d>       <d> any one of ASCII 33 to 126, here not a digit
//
// The address has the textual form of its family, without a zone and not mapped; the port is not 0. The error is
// ErrFamily for a family other than 1 and 2, else a *SyntaxError with 501.
func ParseExtendedPort(arg []byte) (netip.AddrPort, error) {
	bad := func(why string) (netip.AddrPort, error) {
		return netip.AddrPort{}, badArgument("EPRT: " + why + ": " + Quote(arg))
	}
	if len(arg) == 0 || !isDelimiter(arg[0]) {
		return bad("no delimiter")
	}
	fields := bytes.SplitN(arg, arg[:1], 6) // an empty one on each side, and one more to see that there is no more
	if len(fields) != 5 || len(fields[4]) > 0 {
		return bad("not three fields between four delimiters")
	}
	family := string(fields[1])
	if !isNumber(fields[1]) {
		return bad("the network protocol is not a number")
	}
	if family != familyIPv4 && family != familyIPv6 {
		return netip.AddrPort{}, ErrFamily
	}
	address, err := netip.ParseAddr(string(fields[2]))
	if err != nil || address.Is4() != (family == familyIPv4) || address.Is4In6() || address.Zone() != "" {
		return bad("no address of that network protocol")
	}
	port, ok := parsePortNumber(fields[3])
	if !ok || port == 0 {
		return bad("no port number")
	}
	return netip.AddrPortFrom(address, port), nil
}

// AppendExtendedPort appends the argument of EPRT: |1|203.0.113.1|50001|. A mapped address is written as IPv4.
func AppendExtendedPort(b []byte, hostPort netip.AddrPort) []byte {
	address := hostPort.Addr().Unmap().WithZone("")
	family := familyIPv6
	if address.Is4() {
		family = familyIPv4
	}
	b = append(b, '|')
	b = append(b, family...)
	b = append(b, '|')
	b = address.AppendTo(b)
	b = append(b, '|')
	b = strconv.AppendUint(b, uint64(hostPort.Port()), 10)
	return append(b, '|')
}

// FindExtendedPassive reads the text of the final line of a 229 reply, the answer to EPSV (RFC 2428 §3):
//
//	<d><d><d>port<d>
//
// with or without parentheses around it. A family or an address between the delimiters, two different ports, or port 0
// are an error.
func FindExtendedPassive(text []byte) (uint16, error) {
	var port uint16
	found := false
	for i := range text {
		number, ok := extendedPortAt(text, i)
		if ok && found && number != port {
			return 0, errTwoExtendedPorts
		}
		if ok {
			port, found = number, true
		}
	}
	switch {
	case !found:
		return 0, errNoExtendedPort
	case port == 0:
		return 0, errPortZero
	}
	return port, nil
}

// AppendExtendedPassive appends a whole 229 reply with the delimiter that every client reads.
func AppendExtendedPassive(b []byte, port uint16) []byte {
	b = append(b, "229 Entering Extended Passive Mode (|||"...)
	b = strconv.AppendUint(b, uint64(port), 10)
	return append(b, "|)\r\n"...)
}

// extendedPortAt reads <d><d><d>port<d> at text[i:], not next to a further <d>.
func extendedPortAt(text []byte, i int) (port uint16, ok bool) {
	rest := text[i:]
	if len(rest) < len("|||1|") || !isDelimiter(rest[0]) || rest[1] != rest[0] || rest[2] != rest[0] {
		return 0, false
	}
	longest := len("|||65535||")
	number, after, closed := bytes.Cut(rest[3:min(len(rest), longest)], rest[:1])
	if !closed || i > 0 && text[i-1] == rest[0] || len(after) > 0 && after[0] == rest[0] {
		return 0, false
	}
	return parsePortNumber(number)
}

// isDelimiter says whether b may stand for <d>. A digit could not be told from a number.
func isDelimiter(b byte) bool { return '!' <= b && b <= '~' && !isDigit(b) }

func isNumber(text []byte) bool {
	for _, b := range text {
		if !isDigit(b) {
			return false
		}
	}
	return len(text) > 0
}

// parsePortNumber reads 1 to 5 digits up to 65535.
func parsePortNumber(text []byte) (port uint16, ok bool) {
	if len(text) > len("65535") {
		return 0, false
	}
	number, err := strconv.ParseUint(string(text), 10, 16)
	return uint16(number), err == nil
}
