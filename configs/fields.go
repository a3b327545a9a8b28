package configs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// field binds a key of a mapping to the place where its value lives. The schema is made of fields, and everything that
// concerns keys follows it: reading, printing, and the list of keys.
type field struct {
	key  string
	must string // what to do if the key is missing; empty: it may be
	kind
}

// kind says how a value is read and printed. Exactly one of print, parts and elements is set.
type kind struct {
	read     func(value)      // the value is stated and not null; what is wrong with it is recorded
	print    func() string    // on one line; "" leaves the key out
	parts    []field          // of a mapping
	elements func() [][]field // of a list of mappings; the first is there even if the list is empty
}

// group is a mapping.
func group(parts ...field) kind {
	return kind{read: func(v value) { readGroup(v, parts) }, parts: parts}
}

// readGroup reads the fields of a mapping, which need not be stated: then its necessary keys are missing.
func readGroup(v value, fields []field) {
	pairs, ok := mapping(v.node)
	if v.stated() && !ok {
		v.fail("not a mapping", "write its keys with their values: "+strings.Join(keysOf(fields), ", "))
		return
	}
	first := make(map[string]int, len(pairs))
	for _, pair := range pairs {
		key, line := keyText(pair), firstLine(pair.Key)
		at := v.below(key, line) // a finding here is about the key, whatever its value
		if before, again := first[key]; again {
			at.fail(fmt.Sprintf("stated before, in line %d", before), "keep one")
			continue
		}
		first[key] = line
		if !slices.Contains(keysOf(fields), key) {
			at.unknown(key, fields)
		}
	}
	for _, f := range fields {
		readField(v.child(f.key), f)
	}
}

func readField(v value, f field) {
	switch _, null := v.node.(*ast.NullNode); {
	case null:
		v.fail("no value", "give it one, or remove the key")
	case v.stated() || f.parts != nil:
		f.read(v)
	case f.must != "":
		v.fail("missing", f.must)
	}
}

// keysOf gives the keys of a mapping in the order of the schema.
func keysOf(fields []field) []string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	return keys
}

// unknown records a key that the schema does not have here.
func (v value) unknown(key string, fields []field) {
	if comesLater(v.path) {
		v.fail("this key comes with a later version of ftpgate", "remove it")
		return
	}
	if near := nearestKey(key, fields); near != "" {
		v.fail("unknown key", "did you mean "+near+"?")
		return
	}
	v.fail("unknown key", "the keys here are "+strings.Join(keysOf(fields), ", "))
}

// nearestKey is the key that was probably meant: one spelled alike, or the same word one level deeper.
func nearestKey(key string, fields []field) string {
	if near := nearest(key, keysOf(fields)); near != "" {
		return near
	}
	for _, f := range fields {
		if slices.Contains(keysOf(f.parts), key) {
			return f.key + "." + key
		}
	}
	return ""
}
