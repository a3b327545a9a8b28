package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// appendHostPort writes an IPv4 address and a port as PORT and 227 have them: h1,h2,h3,h4,p1,p2 (RFC 959, 3.2.2).
func appendHostPort(b []byte, a netip.AddrPort) []byte {
	for _, number := range a.Addr().As4() {
		b = append(strconv.AppendUint(b, uint64(number), 10), ',')
	}
	b = append(strconv.AppendUint(b, uint64(a.Port()>>8), 10), ',')
	return strconv.AppendUint(b, uint64(a.Port()&0xff), 10)
}

// parseHostPort reads the argument of a PORT. It allocates nothing: it is on the way of each small file.
func parseHostPort(text []byte) (netip.AddrPort, error) {
	var numbers [6]byte
	rest := text
	for i := range numbers {
		field, after, more := bytes.Cut(rest, []byte(","))
		n, err := strconv.ParseUint(string(field), 10, 8)
		if err != nil || more != (i < len(numbers)-1) {
			return netip.AddrPort{}, fmt.Errorf("%q is not six numbers with commas", text)
		}
		numbers[i], rest = byte(n), after
	}
	port := uint16(numbers[4])<<8 | uint16(numbers[5])
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(numbers[:4])), port), nil
}

// parsePassive reads a 227 reply's text: what is in its parentheses.
func parsePassive(text []byte) (netip.AddrPort, error) {
	_, inside, opened := bytes.Cut(text, []byte("("))
	inside, _, closed := bytes.Cut(inside, []byte(")"))
	if !opened || !closed {
		return netip.AddrPort{}, fmt.Errorf("no address in %q", text)
	}
	return parseHostPort(inside)
}

// parseExtended reads the argument of an EPRT: |1|192.0.2.1|1025| or |2|2001:db8::1|1025| (RFC 2428, 2).
func parseExtended(text string) (netip.AddrPort, error) {
	if text == "" {
		return netip.AddrPort{}, fmt.Errorf("EPRT without an address")
	}
	fields := strings.Split(text, text[:1])
	if len(fields) != 5 {
		return netip.AddrPort{}, fmt.Errorf("%q is not a protocol, an address and a port", text)
	}
	address, err := netip.ParseAddr(fields[2])
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := strconv.ParseUint(fields[3], 10, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(address, uint16(port)), nil
}
