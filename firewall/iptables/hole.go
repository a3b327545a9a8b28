package iptables

import (
	"fmt"
	"strings"
	"time"

	"github.com/ftpgate/ftpgate/firewall"
)

const (
	// bucketLife and bucketSweep, in milliseconds, outlive every pinhole: a bucket that is forgotten admits again. They
	// cost nothing, since the bucket goes with the rule, and a sweep per second and pinhole would.
	bucketLife  = 86_400_000
	bucketSweep = 86_400_000

	// stopLayout is the time format of xt_time, in UTC.
	stopLayout = "2006-01-02T15:04:05"
)

// stop is the last whole second in which the rule matches. The kernel compares seconds and includes the last one, so
// the rule ends at the first full second that is not before the hole's end: never early, and less than 1 s late.
func stop(h firewall.Hole) time.Time {
	end := h.Expires.Truncate(time.Second)
	if !end.Equal(h.Expires) {
		end = end.Add(time.Second)
	}
	return end.Add(-time.Second).UTC()
}

// holeName begins the comment of every rule of the hole.
func holeName(h firewall.Hole) string { return fmt.Sprintf("%s %d", owned, h.ID) }

// placed is a rule in one of the dynamic chains.
type placed struct {
	chain string
	spec  spec
}

// holeRules are the rules of one pinhole, in the order in which they are added. run tells this run of the daemon from
// others in the names of the kernel's buckets: those of a crashed run must not count for ours.
func holeRules(h firewall.Hole, m marks, run string) []placed {
	name := fmt.Sprintf("%s session %d", holeName(h), h.Session)
	rules := []placed{{chainGate, gate(h, m, run, name)}}
	port := h.Onward().Port()
	led := fmt.Sprintf("-s %s -d %s -p tcp --dport %d", h.Source, h.Destination.Addr(), h.Destination.Port())
	if h.Mark != 0 { // the host's rules that copy a connection's mark to its packets have seen this one already
		rules = append(rules, placed{chainDNAT, rule(led, name, "-j MARK --set-xmark "+m.first(h))})
	}
	if h.Target.IsValid() {
		rules = append(rules, placed{chainDNAT, rule(led, name, "-j DNAT --to-destination "+h.Target.String())})
	}
	if h.SourceAs.IsValid() {
		match := fmt.Sprintf("-s %s -d %s -p tcp --dport %d", h.Source, h.Onward().Addr(), port)
		rules = append(rules, placed{chainSNAT, rule(match, name, "-j SNAT --to-source "+h.SourceAs.String())})
	}
	return rules
}

// rulesIn is how many rules the hole has in the chain.
func rulesIn(chain string, h firewall.Hole) (n int) {
	for _, has := range []bool{chain == chainGate, chain == chainDNAT && h.Mark != 0, chain == chainDNAT && h.Target.IsValid(), chain == chainSNAT && h.SourceAs.IsValid()} {
		if has {
			n++
		}
	}
	return n
}

// gate matches in the order in which the conditions stand, and the bucket, which is empty after the first packet,
// stands last: a packet that anything else refuses does not spend the pinhole, nor one that another pinhole for the same
// connection has admitted already.
func gate(h firewall.Hole, m marks, run, name string) spec {
	var b strings.Builder
	fmt.Fprintf(&b, "-i %s -s %s -d %s -p tcp --syn", h.Interface, h.Source, h.Destination.Addr())
	if h.SourcePort != 0 {
		fmt.Fprintf(&b, " --sport %d", h.SourcePort)
	}
	end := stop(h).Format(stopLayout)
	fmt.Fprintf(&b, " --dport %d -m connmark ! --mark %s -m time --datestop %s", h.Destination.Port(), m.pinhole, end)
	fmt.Fprintf(&b, " -m hashlimit --hashlimit-upto 1/day --hashlimit-burst 1 --hashlimit-name %s-%s-%d", owned, run, h.ID)
	fmt.Fprintf(&b, " --hashlimit-htable-size 1 --hashlimit-htable-max 8")
	fmt.Fprintf(&b, " --hashlimit-htable-expire %d --hashlimit-htable-gcinterval %d", bucketLife, bucketSweep)
	return rule(b.String(), name+" until "+end+"Z", "-j CONNMARK --set-xmark "+m.admitted(h))
}
