package main

import (
	"regexp"
	"strings"
)

// chainOf finds a rule of iptables -S with the chain in which it stands.
var chainOf = regexp.MustCompile(`(?m)^-A FTPGATE-(GATE|DNAT|SNAT) .*$`)

// iptablesRules finds the rules of pinholes in the output of iptables -t nat -S.
func iptablesRules(text string) (all []found) {
	steps := map[string]step{"GATE": admits, "DNAT": leads, "SNAT": renames}
	for _, line := range chainOf.FindAllStringSubmatch(text, -1) {
		if f, ok := numbered(rule{steps[line[1]], line[0]}); ok {
			all = append(all, f)
		}
	}
	return all
}

// Where a set or map of nft list table begins, and its elements, which go on over lines.
var (
	setOf      = regexp.MustCompile(`(?m)^\t(?:set|map) (\w+) \{$`)
	elementsOf = regexp.MustCompile(`(?s)elements = \{ (.*?) \}\n`)
)

// elements finds those of pinholes in the output of nft list table.
func elements(text string) (all []found) {
	steps := map[string]step{"targets": leads, "sources": renames} // all other sets admit
	sets := setOf.FindAllStringSubmatchIndex(text, -1)
	for i, at := range sets {
		end := len(text)
		if i+1 < len(sets) {
			end = sets[i+1][0]
		}
		name := text[at[2]:at[3]]
		list := elementsOf.FindStringSubmatch(text[at[1]:end])
		if list == nil {
			continue
		}
		for _, element := range strings.Split(list[1], ",\n") {
			if f, ok := numbered(rule{steps[name], name + " " + strings.TrimSpace(element)}); ok {
				all = append(all, f)
			}
		}
	}
	return all
}

// abridging leaves out of a rule what every rule has.
var abridging = []struct {
	long  *regexp.Regexp
	short string
}{
	{regexp.MustCompile(` limit rate 1/day burst 1 packets`), ""},
	{regexp.MustCompile(` timeout \S+( expires \S+)?`), ""},
	{regexp.MustCompile(`(^\w+ .*) comment "[^"]*"`), "$1"},
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

// phrases splits a rule of iptables into its options, each with its values, and an element into its words: between these
// a line may be broken.
func phrases(rule string) []string {
	if !strings.HasPrefix(rule, "-") {
		return strings.Fields(rule)
	}
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
