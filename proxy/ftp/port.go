package ftp

import (
	"bytes"
	"errors"
	"net/netip"
	"strconv"
)

// Why a passive reply is of no use. The answer to the client is 425 in its place.
var (
	errNoTuple   = errors.New("the 227 reply has no host-port in its final line")
	errTwoTuples = errors.New("the 227 reply has two different host-ports")
	errPortZero  = errors.New("the passive reply names port 0")
)

// ParsePort reads the argument of PORT (RFC 959 §5.3.2):
//
//	h1,h2,h3,h4,p1,p2         each 1 to 3 decimal digits, at most 255
//
// Leading zeros are decimal. Spaces around the six numbers are passed over, none is allowed between them. Port 0 is no
// port. The error is a *SyntaxError with 501.
func ParsePort(arg []byte) (netip.AddrPort, error) {
	hostPort, ok := parseTuple(bytes.Trim(arg, " "))
	if !ok {
		return netip.AddrPort{}, badArgument("PORT is not six numbers up to 255: " + Quote(arg))
	}
	if hostPort.Port() == 0 {
		return netip.AddrPort{}, badArgument("PORT names port 0")
	}
	return hostPort, nil
}

// AppendPort appends the argument of PORT: 192,168,1,10,24,131. An IPv6 address, which it cannot express, is written
// as 0,0,0,0.
func AppendPort(b []byte, hostPort netip.AddrPort) []byte {
	var octets [4]byte
	if address := hostPort.Addr().Unmap(); address.Is4() {
		octets = address.As4()
	}
	for _, octet := range octets {
		b = strconv.AppendUint(b, uint64(octet), 10)
		b = append(b, ',')
	}
	b = strconv.AppendUint(b, uint64(hostPort.Port()>>8), 10)
	b = append(b, ',')
	return strconv.AppendUint(b, uint64(hostPort.Port()&0xff), 10)
}

// FindPassive reads the text of the final line of a 227 reply, the answer to PASV. RFC 959 does not say where in the
// text the host-port stands, and servers differ (RFC 1123 §4.1.2.6): it is the first run of digits and commas
// that is six numbers up to 255. Two different ones, or port 0, are an error. The first line of a multi-line reply
// is deliberately not searched: clients take the final line, and a gateway that read another one would open a port
// that nobody asked for.
//
// The address is the server's claim. It decides nothing.
func FindPassive(text []byte) (netip.AddrPort, error) {
	var found netip.AddrPort
	for len(text) > 0 {
		run := bytes.IndexFunc(text, notInTuple)
		if run < 0 {
			run = len(text)
		}
		hostPort, ok := parseTuple(text[:run])
		if ok && found.IsValid() && found != hostPort {
			return netip.AddrPort{}, errTwoTuples
		}
		if ok {
			found = hostPort
		}
		text = text[min(run+1, len(text)):]
	}
	switch {
	case !found.IsValid():
		return netip.AddrPort{}, errNoTuple
	case found.Port() == 0:
		return netip.AddrPort{}, errPortZero
	}
	return found, nil
}

// AppendPassive appends a whole 227 reply in the one form that every client reads, kernel helpers included: parentheses,
// and no digit before them.
func AppendPassive(b []byte, hostPort netip.AddrPort) []byte {
	b = append(b, "227 Entering Passive Mode ("...)
	b = AppendPort(b, hostPort)
	return append(b, ").\r\n"...)
}

func notInTuple(r rune) bool { return r != ',' && (r < '0' || r > '9') }

// parseTuple reads six numbers and nothing else.
func parseTuple(text []byte) (hostPort netip.AddrPort, ok bool) {
	var numbers [6]byte
	for i := range numbers {
		field, rest, comma := bytes.Cut(text, []byte{','})
		if comma != (i < len(numbers)-1) || len(field) > 3 {
			return netip.AddrPort{}, false
		}
		number, err := strconv.ParseUint(string(field), 10, 8)
		if err != nil {
			return netip.AddrPort{}, false
		}
		numbers[i] = byte(number)
		text = rest
	}
	port := uint16(numbers[4])<<8 | uint16(numbers[5])
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(numbers[:4])), port), true
}
