package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// FixedAddress advertises one address to connections of its family.
func FixedAddress(address netip.Addr) func(context.Context, bool) (netip.Addr, error) {
	return func(_ context.Context, ipv4 bool) (netip.Addr, error) {
		if address.Is4() != ipv4 {
			return netip.Addr{}, nil
		}
		return address, nil
	}
}

// resolvedFor is how long a looked-up advertised address is good: short enough
// to follow a dynamic DNS name, long enough not to ask for every file.
const resolvedFor = 30 * time.Second

// HostName advertises what a host name resolves to, asked anew every 30 s. A
// name without an address in the family, like a failing resolver, is an error:
// announcing a private or empty address instead would only look like success.
func HostName(name string) func(context.Context, bool) (netip.Addr, error) {
	type answer struct {
		address netip.Addr
		until   time.Time
	}
	var mu sync.Mutex
	known := make(map[string]answer)
	return func(ctx context.Context, ipv4 bool) (netip.Addr, error) {
		network := "ip6"
		if ipv4 {
			network = "ip4"
		}
		mu.Lock()
		a, ok := known[network]
		mu.Unlock()
		if ok && time.Now().Before(a.until) {
			return a.address, nil
		}
		found, err := net.DefaultResolver.LookupNetIP(ctx, network, name)
		if err != nil {
			return netip.Addr{}, err
		}
		for _, address := range found {
			if address = address.Unmap(); reachable(address, ipv4) {
				mu.Lock()
				known[network] = answer{address, time.Now().Add(resolvedFor)}
				mu.Unlock()
				return address, nil
			}
		}
		return netip.Addr{}, fmt.Errorf("%s has no usable address for %s", name, network)
	}
}

// nowhere are addresses of IPv4 that nobody can connect to, beside those that netip knows (RFC 6890): "this network", and
// what is reserved, with the broadcast address.
var nowhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("240.0.0.0/4")}

// reachable leaves out what a resolver that blocks or is broken answers: 0.0.0.0, loopback, multicast.
func reachable(address netip.Addr, ipv4 bool) bool {
	return address.Is4() == ipv4 && address.IsGlobalUnicast() &&
		!slices.ContainsFunc(nowhere, func(p netip.Prefix) bool { return p.Contains(address) })
}
