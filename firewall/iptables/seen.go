package iptables

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/ftpgate/ftpgate/firewall"
)

// Seen implements firewall.Counter by the counter of the pinhole's gate, which counts what it has admitted.
func (b *Backend) Seen(h firewall.Hole) (packets uint64, known bool, err error) {
	for _, f := range b.families {
		if _, open := f.holes[h.ID]; !open || f.is4 != h.Is4() {
			continue
		}
		out, err := run("", f.tools.save, "-c", "-t", "nat")
		if err != nil {
			return 0, false, fmt.Errorf("reading the counter of pinhole %d: %w", h.ID, err)
		}
		packets, known = countOf(out, holeName(h)+" session ")
		return packets, known, nil
	}
	return 0, false, nil
}

// countOf finds the packets of a gate, by the beginning of its comment, in the output of iptables-save -c:
//
//	[1:60] -A FTPGATE-GATE ... -m comment --comment "ftpgate 1 session 4 until ...
func countOf(saved []byte, name string) (packets uint64, known bool) {
	lines := bufio.NewScanner(bytes.NewReader(saved))
	lines.Buffer(nil, maxSaveLine)
	for lines.Scan() {
		counters, rule, found := strings.Cut(lines.Text(), "] -A "+chainGate+" ")
		if !found || !strings.HasPrefix(comment(rule), name) {
			continue
		}
		count, _, _ := strings.Cut(strings.TrimPrefix(counters, "["), ":")
		packets, err := strconv.ParseUint(count, 10, 64)
		return packets, err == nil
	}
	return 0, false
}
