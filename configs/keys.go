package configs

import "strings"

// Key is a key of the configuration as the reference explains it.
type Key struct {
	Path     string // interfaces.lan, rules[].data.modes
	Must     bool   // it has no default and has to be stated
	Inbound  string // the default as YAML, for an inbound rule; "": none
	Outbound string // likewise; the same for every key that is not a rule's
	Meaning  string // the comment of the reference, as one line
}

// Keys are all keys, in the order of the reference.
func Keys() []Key {
	inbound, outbound := Defaults(), Defaults()
	inbound.Rules = []Rule{DefaultRule(Inbound)}
	outbound.Rules = []Rule{DefaultRule(Outbound)}
	keys, others := keysWithDefaults("", inbound.fields()), keysWithDefaults("", outbound.fields())
	meanings := meaningsIn(string(reference))
	for i := range keys {
		keys[i].Outbound = others[i].Inbound
		keys[i].Meaning = meanings[keys[i].Path]
	}
	return keys
}

// keysWithDefaults shows what the fields print, as the defaults of an inbound rule.
func keysWithDefaults(prefix string, fields []field) []Key {
	var keys []Key
	for _, f := range fields {
		switch path := prefix + f.key; {
		case f.parts != nil:
			keys = append(keys, keysWithDefaults(path+".", f.parts)...)
		case f.elements != nil:
			keys = append(keys, keysWithDefaults(path+"[].", f.elements()[0])...)
		case f.must != "":
			keys = append(keys, Key{Path: path, Must: true})
		default:
			keys = append(keys, Key{Path: path, Inbound: f.print()})
		}
	}
	return keys
}

// meaningsIn gives the comment above each key of the reference, by path; of a key that it states twice the first.
func meaningsIn(text string) map[string]string {
	meanings := make(map[string]string)
	var path []string    // keys above the current line
	var indents []int    // their indentation
	var comment []string // lines of the comment above the current line
	for line := range strings.Lines(text) {
		bare := strings.TrimLeft(line, " ")
		indent := len(line) - len(bare)
		if rest, ok := strings.CutPrefix(bare, "- "); ok {
			bare, indent = rest, indent+2
		}
		bare = strings.TrimSpace(bare)
		if words, ok := strings.CutPrefix(bare, "#"); ok {
			comment = append(comment, strings.TrimSpace(words))
			continue
		}
		key, _, ok := strings.Cut(bare, ":")
		if !ok {
			comment = nil
			continue
		}
		for len(indents) > 0 && indents[len(indents)-1] >= indent {
			path, indents = path[:len(path)-1], indents[:len(indents)-1]
		}
		path, indents = append(path, key), append(indents, indent)
		at := strings.Replace(strings.Join(path, "."), "rules.", "rules[].", 1)
		if meanings[at] == "" {
			meanings[at] = strings.Join(comment, " ")
		}
		comment = nil
	}
	return meanings
}
