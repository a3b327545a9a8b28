package configs

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// endpoints is where an inbound rule leads: one address and port, or a list of one for each family.
func endpoints(at *[]netip.AddrPort) kind {
	return kind{
		read: func(v value) {
			items := []value{v}
			if _, ok := scalar(v.node); !ok {
				if items, ok = v.list(mostNetworks); ok && len(items) == 0 {
					v.fail("an empty list", "write the server's address and port, such as 192.168.50.20:21")
				}
			}
			var list []netip.AddrPort
			for _, item := range items {
				endpoint, ok := readEndpoint(item)
				switch {
				case !ok:
				case slices.ContainsFunc(list, func(e netip.AddrPort) bool { return e.Addr().Is4() == endpoint.Addr().Is4() }):
					item.fail("a second server of the same address family", "keep one for IPv4 and one for IPv6; write another rule for another server")
				default:
					list = append(list, endpoint)
				}
			}
			*at = list
		},
		print: func() string {
			words := make([]string, len(*at))
			for i, endpoint := range *at {
				words[i] = word(endpoint.String())
			}
			switch len(words) {
			case 0:
				return "" // an empty list would be an error; without the key the rule is routed
			case 1:
				return words[0]
			}
			return flow(words)
		},
	}
}

// readEndpoint reads 192.0.2.1:21, [2001:db8::1]:21, and both without the port; what is wrong is recorded.
func readEndpoint(v value) (netip.AddrPort, bool) {
	const cure = `write the server's address and port, in quotes: "192.168.50.20:21" or "[2001:db8::20]:21"`
	text, ok := v.text(cure)
	if !ok {
		return netip.AddrPort{}, false
	}
	host, number, isPort := splitEndpoint(text)
	address, ok := readHost(v, host, cure)
	if !ok {
		return netip.AddrPort{}, false
	}
	if !isPort {
		if strings.HasSuffix(text, ":21") {
			v.warn("read as an IPv6 address that ends in :21", `if 21 is the port, write "[`+strings.TrimSuffix(text, ":21")+`]:21"`)
		}
		return netip.AddrPortFrom(address, controlPort), true
	}
	n, ok := decimal(number, 65535)
	if !ok {
		v.fail(fmt.Sprintf("%q is not a port", number), "write a number from 1 to 65535 after the colon")
	}
	return netip.AddrPortFrom(address, uint16(n)), ok
}

// splitEndpoint separates a port from an address. A bare IPv6 address has none.
func splitEndpoint(text string) (host, port string, isPort bool) {
	if rest, ok := strings.CutPrefix(text, "["); ok {
		if host, ok := strings.CutSuffix(rest, "]"); ok {
			return host, "", false
		}
		if host, port, ok := cutLast(rest, "]:"); ok {
			return host, port, true
		}
	}
	if strings.Count(text, ":") == 1 {
		return cutLast(text, ":")
	}
	return text, "", false
}

// cutLast cuts at the last separator.
func cutLast(text, separator string) (before, after string, found bool) {
	if at := strings.LastIndex(text, separator); at >= 0 {
		return text[:at], text[at+len(separator):], true
	}
	return text, "", false
}

// hostName is a name of RFC 1123 section 2.1 whose last label is not a number, so that no broken address passes for one.
var hostName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

// longestHost is the length of a name without its final dot (RFC 1035 section 2.3.4), in bytes.
const longestHost = 253

func advertise(at *Advertise) kind {
	const cure = `write the address or host name that the NAT in front shows, or "" if there is none`
	return kind{
		read: func(v value) {
			text, ok := v.text(cure)
			if !ok {
				return
			}
			host := strings.ToLower(strings.TrimSuffix(text, "."))
			switch {
			case text == "":
				*at = Advertise{}
			case len(host) <= longestHost && hostName.MatchString(host):
				*at = Advertise{Host: host}
			default:
				address, _ := readHost(v, text, cure)
				*at = Advertise{Address: address}
			}
		},
		print: func() string { return word(at.String()) },
	}
}
