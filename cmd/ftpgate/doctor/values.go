package doctor

import (
	"net/netip"
	"strconv"
	"strings"
)

// topByte is where our marks are: firewall.Frame.Mask, as cmd/ftpgate sets it.
const topByte = 0xff000000

func effectOf(k effectKind, when int) effect { return effect{kind: k, when: when} }

// markOf reads "0x1/0xff", "0x1" or "1".
func markOf(text string) (value, mask uint32, ok bool) {
	v, m, masked := strings.Cut(text, "/")
	n, err := strconv.ParseUint(v, 0, 32)
	if err != nil {
		return 0, 0, false
	}
	if !masked {
		return uint32(n), 0xffffffff, true
	}
	k, err := strconv.ParseUint(m, 0, 32)
	return uint32(n), uint32(k), err == nil
}

// network reads "10.0.0.0/8" or a single address. What cannot be read concerns some addresses.
func network(of func(*packet) []netip.Prefix, text string) condition {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return always(some)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	return byAddress(of, p.Masked())
}

// portList reads the ports of iptables: "20", "1024:65535", several.
func portList(list []string, of ...func(*packet) ports) condition {
	var cs []condition
	for _, text := range list {
		first, last, ok := strings.Cut(text, ":")
		if !ok {
			last = first
		}
		a, err := strconv.ParseUint(first, 10, 16)
		b, failed := strconv.ParseUint(last, 10, 16)
		for _, f := range of {
			if err != nil || failed != nil {
				cs = append(cs, always(unsure))
			} else {
				cs = append(cs, byPort(f, ports{uint16(a), uint16(b)}))
			}
		}
	}
	return anyOf(cs)
}
