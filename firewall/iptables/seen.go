package iptables

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/ftpgate/ftpgate/firewall"
)

// Seen implements firewall.Counter by the counters of the pinholes' gates, which count what they have admitted. However
// many are asked for, each family is listed once.
func (b *Backend) Seen(holes ...firewall.Hole) (map[uint64]uint64, error) {
	seen := make(map[uint64]uint64, len(holes))
	for _, f := range b.families {
		names := make(map[string]uint64, len(holes))
		for _, h := range holes {
			if _, open := f.holes[h.ID]; open && f.is4 == h.Is4() {
				names[holeName(h)] = h.ID
			}
		}
		if len(names) == 0 {
			continue
		}
		out, err := run("", f.tools.save, "-c", "-t", "nat")
		if err != nil {
			return seen, fmt.Errorf("reading the counters of pinholes: %w", err)
		}
		count(out, names, seen)
	}
	return seen, nil
}

// count finds the packets of the named gates in the output of iptables-save -c. A gate's comment begins with its name:
//
//	[1:60] -A FTPGATE-GATE ... -m comment --comment "ftpgate 1 session 4 until ...
func count(saved []byte, names map[string]uint64, seen map[uint64]uint64) {
	lines := bufio.NewScanner(bytes.NewReader(saved))
	lines.Buffer(nil, maxSaveLine)
	for lines.Scan() {
		counters, rule, found := strings.Cut(lines.Text(), "] -A "+chainGate+" ")
		if !found {
			continue
		}
		name, _, _ := strings.Cut(comment(rule), " session ")
		id, asked := names[name]
		if _, had := seen[id]; !asked || had { // the first rule of a pinhole is the one that admits
			continue
		}
		number, _, _ := strings.Cut(strings.TrimPrefix(counters, "["), ":")
		if packets, err := strconv.ParseUint(number, 10, 64); err == nil {
			seen[id] = packets
		}
	}
}
