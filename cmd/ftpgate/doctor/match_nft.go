package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// match reads {"op": "==", "left": ..., "right": ...}.
func (n *nftReader) match(m map[string]any) condition {
	op, _ := m["op"].(string)
	switch op {
	case "==", "in":
		return n.equals(m["left"], m["right"])
	case "!=":
		return not(n.equals(m["left"], m["right"]))
	case "<", ">", "<=", ">=":
		return n.compares(m["left"], op, m["right"])
	}
	return always(unsure)
}

// equals reads a comparison with a value, a list of flags, or a set.
func (n *nftReader) equals(left, right any) condition {
	if set := object(right)["set"]; set != nil {
		list, _ := set.([]any)
		return n.among(left, list)
	}
	if name, ok := right.(string); ok && strings.HasPrefix(name, "@") {
		s, known := n.sets[name[1:]]
		if !known || slices.Contains(s.Flags, "dynamic") || slices.Contains(s.Flags, "timeout") {
			return changing(left)
		}
		return n.among(left, s.Elem)
	}
	if parts, ok := object(left)["concat"].([]any); ok {
		values, _ := object(right)["concat"].([]any)
		if len(values) != len(parts) {
			return always(unsure)
		}
		var cs []condition
		for i := range parts {
			cs = append(cs, n.equals(parts[i], values[i]))
		}
		return allOf(cs)
	}
	return n.value(object(left), right)
}

func (n *nftReader) among(left any, list []any) condition {
	var cs []condition
	for _, e := range list {
		if inner := object(object(e)["elem"]); inner != nil {
			e = inner["val"]
		}
		cs = append(cs, n.equals(left, e))
	}
	return anyOf(cs)
}

// changing is a set whose elements come and go: of addresses it is a list of somebody's.
func changing(left any) condition {
	parts, _ := object(left)["concat"].([]any)
	for _, part := range append(parts, left) {
		if f := object(object(part)["payload"])["field"]; f == "saddr" || f == "daddr" {
			return always(some)
		}
	}
	return always(unsure)
}

// value reads a comparison of one selector with one value.
func (n *nftReader) value(left map[string]any, right any) condition {
	for kind, body := range left {
		key, _ := object(body)["key"].(string)
		switch kind {
		case "meta":
			return meta(key, right)
		case "ct":
			return conntrack(key, right)
		case "payload":
			protocol, _ := object(body)["protocol"].(string)
			field, _ := object(body)["field"].(string)
			return payload(protocol, field, right)
		case "fib":
			return fib(object(body), right)
		case "&":
			return masked(body, right)
		}
	}
	return always(unsure)
}

func meta(key string, right any) condition {
	text := fmt.Sprint(right)
	switch key {
	case "iifname", "iif":
		return byName(arriving, text, "*")
	case "oifname", "oif":
		return byName(leaving, text, "*")
	case "l4proto":
		return always(either(text == "tcp" || text == "6"))
	case "nfproto", "protocol":
		return byFamily(text == "ipv6" || text == "ip6")
	case "mark":
		return marked(packetMark, right)
	case "pkttype":
		return always(either(text == "unicast" || text == "host"))
	}
	return always(unsure)
}

func conntrack(key string, right any) condition {
	switch key {
	case "state":
		return byState(names(right))
	case "mark":
		return marked(connectionMark, right)
	case "direction":
		return func(p *packet) truth {
			if p.first {
				return either(right == "original")
			}
			return unsure
		}
	}
	return always(unsure)
}

// payload reads a field of a header. A header that TCP over the family has not never matches.
func payload(protocol, field string, right any) condition {
	switch protocol {
	case "tcp", "th":
		switch field {
		case "sport", "dport":
			return portValue(field, right)
		case "flags":
			return anyOf(each(names(right), func(flag string) condition { return byFlags([]string{flag}, []string{flag}) }))
		}
		return always(unsure)
	case "ip", "ip6":
		inFamily := byFamily(protocol == "ip6")
		switch field {
		case "saddr":
			return allOf([]condition{inFamily, address(source, right)})
		case "daddr":
			return allOf([]condition{inFamily, address(destination, right)})
		case "protocol", "nexthdr":
			return allOf([]condition{inFamily, always(either(fmt.Sprint(right) == "tcp" || fmt.Sprint(right) == "6"))})
		}
		return allOf([]condition{inFamily, always(unsure)})
	case "udp", "udplite", "icmp", "icmpv6", "igmp", "sctp", "dccp", "esp", "ah", "arp", "comp":
		return always(no)
	case "ether":
		return always(some)
	}
	return always(unsure)
}

func portOf(field string) func(*packet) ports {
	if field == "sport" {
		return from
	}
	return to
}

func portValue(field string, right any) condition {
	if r, ok := object(right)["range"].([]any); ok && len(r) == 2 {
		first, a := number(r[0])
		last, b := number(r[1])
		if a && b {
			return byPort(portOf(field), ports{uint16(first), uint16(last)})
		}
	}
	if v, ok := number(right); ok {
		return byPort(portOf(field), ports{uint16(v), uint16(v)})
	}
	return always(unsure)
}

// compares reads an inequality, which matters of ports alone.
func (n *nftReader) compares(left any, op string, right any) condition {
	body := object(object(left)["payload"])
	field, _ := body["field"].(string)
	v, ok := number(right)
	if !ok || v > 65535 || field != "sport" && field != "dport" {
		return always(unsure)
	}
	p := uint16(v)
	switch op {
	case "<=":
		return byPort(portOf(field), ports{0, p})
	case ">=":
		return byPort(portOf(field), ports{p, 65535})
	case "<":
		return not(byPort(portOf(field), ports{p, 65535}))
	}
	return not(byPort(portOf(field), ports{0, p}))
}

func address(of func(*packet) []netip.Prefix, right any) condition {
	if p := object(object(right)["prefix"]); p != nil {
		return network(of, fmt.Sprintf("%v/%v", p["addr"], p["len"]))
	}
	if text, ok := right.(string); ok {
		return network(of, text)
	}
	return always(some) // a range
}

// fib reads a look at the routes: what an address is, or whether the way back is the one by which it came.
func fib(body map[string]any, right any) condition {
	flags := names(body["flags"])
	if body["result"] == "type" && slices.Contains(flags, "daddr") {
		switch right {
		case "local":
			return byLocal
		case "broadcast", "multicast", "anycast":
			return always(no)
		}
	}
	if slices.Contains(flags, "saddr") {
		return always(some)
	}
	return always(unsure)
}

func number(v any) (uint64, bool) {
	f, ok := v.(float64)
	return uint64(f), ok && f >= 0
}

// names reads a name or a list of them.
func names(v any) []string {
	list, ok := v.([]any)
	if !ok {
		return []string{fmt.Sprint(v)}
	}
	return each(list, func(e any) string { return fmt.Sprint(e) })
}

func each[A, B any](list []A, f func(A) B) []B {
	out := make([]B, len(list))
	for i, a := range list {
		out[i] = f(a)
	}
	return out
}
