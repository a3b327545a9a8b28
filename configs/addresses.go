package configs

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// controlPort is where FTP listens (RFC 959 section 8).
const controlPort = 21

func port(at *uint16) kind {
	const cure = "write a number from 1 to 65535"
	return kind{
		read: func(v value) {
			if text, ok := v.text(cure); ok {
				if n, ok := readPort(v, text); ok {
					*at = n
				}
			}
		},
		print: func() string { return strconv.Itoa(int(*at)) },
	}
}

// readPort reads a port of a value's text; what is wrong is recorded.
func readPort(v value, text string) (uint16, bool) {
	n, ok := decimal(text, 65535)
	if !ok {
		v.fail("not a port", "write a number from 1 to 65535")
	}
	return uint16(n), ok
}

func ports(at *[]uint16) kind {
	const cure = "write the ports as [21]"
	return kind{
		read: func(v value) {
			items, ok := v.list(mostPorts)
			if ok && len(items) == 0 {
				v.fail("an empty list: no connection would be taken over", cure)
			}
			var list []uint16
			for _, item := range unique(items) {
				if text, ok := item.text(cure); ok {
					if n, ok := readPort(item, text); ok {
						list = append(list, n)
					}
				}
			}
			*at = list
		},
		print: func() string {
			words := make([]string, len(*at))
			for i, n := range *at {
				words[i] = strconv.Itoa(int(n))
			}
			return flow(words)
		},
	}
}

// lowestDataPort: below it are the ports that services own, and many clients refuse them (RFC 2577 section 3).
const lowestDataPort = 1024

func portRange(at *PortRange) kind {
	const cure = "write the first and the last port: 50000-51999"
	return kind{
		read: func(v value) {
			text, ok := v.text(cure)
			if !ok {
				return
			}
			from, to, ok := strings.Cut(text, "-")
			first, okFirst := decimal(from, 65535)
			last, okLast := decimal(to, 65535)
			switch {
			case !ok || !okFirst || !okLast:
				v.fail("not a range of ports", cure)
			case first > last:
				v.fail("the first port is greater than the last", fmt.Sprintf("write %d-%d", last, first))
			case first < lowestDataPort:
				v.fail("holds ports below 1024", "begin at 1024 or above")
			default:
				*at = PortRange{First: uint16(first), Last: uint16(last)}
			}
		},
		print: func() string { return at.String() },
	}
}

// networks is a list of addresses and networks, or "any".
func networks(at *Networks) kind {
	const cure = "write addresses or networks, or any: [192.168.50.0/24, 192.168.51.7]"
	return kind{
		read: func(v value) {
			items, ok := v.list(mostNetworks)
			if ok && len(items) == 0 {
				v.fail("an empty list: nobody would match", cure)
			}
			var list Networks
			for _, item := range unique(items) {
				text, ok := item.text(cure)
				switch {
				case !ok:
				case text == "any" && len(items) > 1:
					item.fail("any includes the others", "write [any], or remove any")
				case text == "any":
					list = AnyNetwork()
				default:
					if network, ok := readNetwork(item, text); ok {
						list = appendNetwork(list, item, network)
					}
				}
			}
			*at = list
		},
		print: func() string { return flow(at.words()) },
	}
}

// appendNetwork adds a network that is not in the list yet.
func appendNetwork(list Networks, v value, network netip.Prefix) Networks {
	if slices.Contains(list, network) {
		v.fail("stated twice", "keep one")
		return list
	}
	return append(list, network)
}

// words are the networks as the file states them.
func (n Networks) words() []string {
	if n.Any() {
		return []string{"any"}
	}
	words := make([]string, len(n))
	for i, network := range n {
		words[i] = word(network.String())
		if network.IsSingleIP() {
			words[i] = word(network.Addr().String())
		}
	}
	return words
}

// readNetwork reads an address or a network; what is wrong is recorded.
func readNetwork(v value, text string) (netip.Prefix, bool) {
	address, bits, isNetwork := strings.Cut(text, "/")
	if !isNetwork {
		one, ok := readAddress(v, text, "write an address or a network such as 192.168.50.0/24, or any")
		if !ok {
			return netip.Prefix{}, false
		}
		if one.IsUnspecified() {
			v.fail("the unspecified address belongs to nobody", "write any, or "+one.String()+"/0 for the whole family")
			return netip.Prefix{}, false
		}
		return netip.PrefixFrom(one, one.BitLen()), true
	}
	one, ok := readAddress(v, address, "write a network such as 192.168.50.0/24 or 2001:db8::/32")
	if !ok {
		return netip.Prefix{}, false
	}
	network, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		v.fail(fmt.Sprintf("%q is not a prefix length", bits), fmt.Sprintf("write a number from 0 to %d after the slash", one.BitLen()))
	case network != network.Masked():
		v.fail("an address within a network", "write "+network.Masked().String()+" for the network, or "+one.String()+" for the address")
	default:
		return network, true
	}
	return netip.Prefix{}, false
}

// readAddress reads an address that packets can bear as it is written; what is wrong is recorded.
func readAddress(v value, text, cure string) (netip.Addr, bool) {
	address, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		v.fail("not an address", cure)
	case address.Zone() != "":
		v.fail("an address with a zone", "write it without "+address.Zone()+" and the percent sign")
	case address.Is4In6():
		v.fail("an IPv4 address in the dress of IPv6", "write "+address.Unmap().String())
	default:
		return address, true
	}
	return netip.Addr{}, false
}

// readHost reads the address of one host that others can reach; what is wrong is recorded.
func readHost(v value, text, cure string) (netip.Addr, bool) {
	address, ok := readAddress(v, text, cure)
	problem := ""
	switch {
	case !ok:
		return netip.Addr{}, false
	case address.IsUnspecified():
		problem = "the unspecified address belongs to nobody"
	case address.IsLoopback():
		problem = "a loopback address does not leave this host"
	case address.IsMulticast(), address == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		problem = "not the address of one host"
	case address.IsLinkLocalUnicast():
		problem = "a link-local address does not leave its link"
	default:
		return address, true
	}
	v.fail(problem, cure)
	return netip.Addr{}, false
}
