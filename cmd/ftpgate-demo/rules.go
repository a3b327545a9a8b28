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

// natProgram is the iptables that shows the router's rules of one family.
func natProgram(v lab.Variant, six bool) string {
	if six {
		return fmt.Sprintf("ip6tables-%s", v)
	}
	return fmt.Sprintf("iptables-%s", v)
}

// pinholeRule finds the rules of pinholes in the output of iptables -S, with the numbers of pinhole and session that
// their comments hold.
var pinholeRule = regexp.MustCompile(`(?m)^-A FTPGATE-(GATE|DNAT|SNAT) .*--comment "ftpgate (\d+) session (\d+)[ "].*$`)

// ruleset are the rules of one pinhole.
type ruleset []string

// has says whether one of the rules stands in that chain.
func (r ruleset) has(chain string) bool {
	for _, rule := range r {
		if strings.HasPrefix(rule, "-A "+chain+" ") {
			return true
		}
	}
	return false
}

// turn is when a connection meets the rule: GATE, DNAT, SNAT, which iptables lists by the alphabet.
func turn(rule string) int {
	for i, chain := range []string{"FTPGATE-GATE", "FTPGATE-DNAT", "FTPGATE-SNAT"} {
		if (ruleset{rule}).has(chain) {
			return i
		}
	}
	return -1
}

// translation names what the rules do with addresses.
func (r ruleset) translation() string {
	switch dnat, snat := r.has("FTPGATE-DNAT"), r.has("FTPGATE-SNAT"); {
	case dnat && snat:
		return "DNAT+SNAT"
	case dnat:
		return "DNAT"
	case snat:
		return "SNAT"
	}
	return "untouched"
}

// pinhole reads from the router the rules of a session's newest pinhole. Those of spent ones may still be there.
func (s *stage) pinhole(ctx context.Context, six bool, session uint64) (ruleset, error) {
	text, err := s.natRules(ctx, six)
	if err != nil {
		return nil, err
	}
	return newestPinhole(text, session)
}

// newestPinhole finds these rules in the output of iptables -S.
func newestPinhole(text string, session uint64) (ruleset, error) {
	var newest uint64
	var rules ruleset
	for _, found := range pinholeRule.FindAllStringSubmatch(text, -1) {
		number, err := strconv.ParseUint(found[2], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("reading the rule %q: %w", found[0], err)
		}
		if found[3] != strconv.FormatUint(session, 10) || number < newest {
			continue
		}
		if number > newest {
			newest, rules = number, nil
		}
		rules = append(rules, found[0])
	}
	slices.SortStableFunc(rules, func(a, b string) int { return cmp.Compare(turn(a), turn(b)) })
	if !rules.has("FTPGATE-GATE") {
		return nil, fmt.Errorf("the pinhole of session %d has no rule on the router:\n%s", session, text)
	}
	return rules, nil
}

func (s *stage) natRules(ctx context.Context, six bool) (string, error) {
	return s.lab.Host(lab.Router).Run(ctx, natProgram(s.variant, six), "-t", "nat", "-S")
}

// awaitShut waits until no rule of any pinhole is left.
func (s *stage) awaitShut(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, goneTime, fmt.Errorf("after %s", goneTime))
	defer cancel()
	for _, six := range []bool{false, true} {
		for {
			text, err := s.natRules(ctx, six)
			if err != nil {
				return err
			}
			left := pinholeRule.FindString(text)
			if left == "" {
				break
			}
			select {
			case <-time.After(rulePoll):
			case <-ctx.Done():
				return fmt.Errorf("a pinhole's rule is left behind: %w: %s", context.Cause(ctx), left)
			}
		}
	}
	return nil
}

// abridging leaves out of a rule what every rule has.
var abridging = []struct {
	long  *regexp.Regexp
	short string
}{
	{regexp.MustCompile(` -m comment --comment "[^"]*"`), ""},
	{regexp.MustCompile(` -m hashlimit( --hashlimit-\S+ \S+)+`), " -m hashlimit ..."},
	{regexp.MustCompile(` -m time( --\S+ \S+)+`), " -m time ..."},
	{regexp.MustCompile(` --tcp-flags FIN,SYN,RST,ACK SYN`), " --syn"},
	{regexp.MustCompile(` -p tcp -m tcp`), " -p tcp"},
	{regexp.MustCompile(` --set-xmark \S+`), " ..."},
	{regexp.MustCompile(`/(32|128)\b`), ""},
}

// abridged is a rule without them.
func abridged(rule string) string {
	for _, a := range abridging {
		rule = a.long.ReplaceAllString(rule, a.short)
	}
	return rule
}

// phrases splits a rule into its options, each with its values: between these a line may be broken.
func phrases(rule string) []string {
	var all []string
	for _, word := range strings.Fields(rule) {
		begins := word == "!" || strings.HasPrefix(word, "-")
		if last := len(all) - 1; last >= 0 && (!begins || all[last] == "!") {
			all[last] += " " + word
			continue
		}
		all = append(all, word)
	}
	return all
}
