package main

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
)

// rulePoll is how often the demo looks whether spent rules are gone.
const rulePoll = 100 * time.Millisecond

// step is what a rule does with a pinhole's connection, in the order in which the connection meets it.
type step int

const (
	admits  step = iota
	leads        // to another destination: DNAT
	renames      // the source: SNAT
)

// rule is one of a pinhole's, as the program shows it by which the router is asked: a rule of iptables, or an element of
// a set or map of nftables.
type rule struct {
	step step
	text string
}

// ruleset are the rules of one pinhole.
type ruleset []rule

func (r ruleset) has(s step) bool {
	return slices.ContainsFunc(r, func(r rule) bool { return r.step == s })
}

// String is one rule to a line.
func (r ruleset) String() string {
	var b strings.Builder
	for _, one := range r {
		b.WriteString(one.text + "\n")
	}
	return b.String()
}

// translation names what the rules do with addresses.
func (r ruleset) translation() string {
	switch dnat, snat := r.has(leads), r.has(renames); {
	case dnat && snat:
		return "DNAT+SNAT"
	case dnat:
		return "DNAT"
	case snat:
		return "SNAT"
	}
	return "untouched"
}

// found is a rule with the numbers of the pinhole and the session that its comment holds.
type found struct {
	rule
	pinhole, session uint64
}

// comment is that of each rule.
var comment = regexp.MustCompile(`"ftpgate (\d+) session (\d+)[ "]`)

// numbered reads the comment of a rule; false: it is no pinhole's.
func numbered(r rule) (found, bool) {
	numbers := comment.FindStringSubmatch(r.text)
	if numbers == nil {
		return found{}, false
	}
	pinhole, err := strconv.ParseUint(numbers[1], 10, 64)
	session, err2 := strconv.ParseUint(numbers[2], 10, 64)
	return found{r, pinhole, session}, err == nil && err2 == nil
}

// newest returns the rules of a session's newest pinhole. Those of spent ones may still be there.
func newest(all []found, session uint64) (ruleset, error) {
	all = slices.DeleteFunc(slices.Clone(all), func(f found) bool { return f.session != session })
	var number uint64
	for _, f := range all {
		number = max(number, f.pinhole)
	}
	var rules ruleset
	for _, f := range all {
		if f.pinhole == number {
			rules = append(rules, f.rule)
		}
	}
	slices.SortStableFunc(rules, func(a, b rule) int { return cmp.Compare(a.step, b.step) })
	if !rules.has(admits) {
		return nil, fmt.Errorf("the newest pinhole of session %d has no rule on the router that admits", session)
	}
	return rules, nil
}

// pinhole reads from the router the rules of a session's newest pinhole.
func (s *stage) pinhole(ctx context.Context, six bool, session uint64) (ruleset, error) {
	all, err := s.pinholes(ctx, six)
	if err != nil {
		return nil, err
	}
	return newest(all, session)
}

// pinholes reads the rules of all.
func (s *stage) pinholes(ctx context.Context, six bool) ([]found, error) {
	command := strings.Fields(s.listing(six))
	text, err := s.lab.Host(lab.Router).Run(ctx, command[0], command[1:]...)
	if err != nil {
		return nil, err
	}
	if s.nftables() {
		return elements(text), nil
	}
	return iptablesRules(text), nil
}

// listing is the command that shows the pinholes of one family.
func (s *stage) listing(six bool) string {
	family, program := "ip", "iptables"
	if six {
		family, program = "ip6", "ip6tables"
	}
	if s.nftables() {
		return "nft list table " + family + " ftpgate"
	}
	return fmt.Sprintf("%s-%s -t nat -S", program, s.variant)
}

// nftables tells whether the daemon has chosen that backend, and not iptables.
func (s *stage) nftables() bool { return s.gateway.backend == "nftables" }

// awaitShut waits until no rule of any pinhole is left.
func (s *stage) awaitShut(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, goneTime, fmt.Errorf("after %s", goneTime))
	defer cancel()
	for _, six := range []bool{false, true} {
		for {
			left, err := s.pinholes(ctx, six)
			if err != nil {
				return err
			}
			if len(left) == 0 {
				break
			}
			select {
			case <-time.After(rulePoll):
			case <-ctx.Done():
				return fmt.Errorf("a pinhole's rule is left behind: %w: %s", context.Cause(ctx), left[0].text)
			}
		}
	}
	return nil
}
