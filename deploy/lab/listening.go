package lab

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// listenPoll is how often WaitListening looks.
const listenPoll = 5 * time.Millisecond

// tcpListen is the state of a listening socket in /proc/net/tcp.
const tcpListen = "0A"

// WaitListening waits until a TCP socket listens on that address and port of the host, or on all its addresses. It
// connects to nobody, so servers do not see it.
func WaitListening(ctx context.Context, h *Host, at netip.AddrPort) error {
	ticker := time.NewTicker(listenPoll)
	defer ticker.Stop()
	for {
		listening, err := h.listening(at)
		if err != nil {
			return fmt.Errorf("reading the listeners of %s: %w", h.Name, err)
		}
		if listening {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s to listen on %s: %w", h.Name, at, ctx.Err())
		}
	}
}

// listening looks for a listener. One on all addresses of IPv6 is taken to serve IPv4 as well, which it does unless it
// was made IPV6_V6ONLY.
func (h *Host) listening(at netip.AddrPort) (found bool, err error) {
	err = h.Do(func() error {
		for _, file := range []string{"tcp", "tcp6"} {
			table, err := os.ReadFile("/proc/thread-self/net/" + file)
			if err != nil {
				return err
			}
			for line := range strings.Lines(string(table)) {
				local, ok := parseListener(line)
				found = found || ok && local.Port() == at.Port() &&
					(local.Addr() == at.Addr() || local.Addr().IsUnspecified() && (local.Addr().Is6() || at.Addr().Is4()))
			}
		}
		return nil
	})
	return found, err
}

// parseListener reads a line of /proc/net/tcp or tcp6; ok says whether it is a listener's. Addresses are written as
// 32-bit words in the byte order of the machine.
func parseListener(line string) (local netip.AddrPort, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 4 || fields[3] != tcpListen {
		return local, false
	}
	address, port, _ := strings.Cut(fields[1], ":")
	raw, err := hex.DecodeString(address)
	if err != nil || len(raw)%4 != 0 {
		return local, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	number, err := strconv.ParseUint(port, 16, 16)
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), ok && err == nil
}
