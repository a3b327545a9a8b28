package doctor

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// What nft shows as JSON (libnftables-json(5)), as far as it is read here.
type nftDocument struct {
	Objects []map[string]json.RawMessage `json:"nftables"`
}

type nftTable struct {
	Family string `json:"family"`
	Name   string `json:"name"`
}

type nftChain struct {
	Family   string `json:"family"`
	Table    string `json:"table"`
	Name     string `json:"name"`
	Type     string `json:"type"`
	Hook     string `json:"hook"`
	Priority int    `json:"prio"`
	Policy   string `json:"policy"`
}

type nftRule struct {
	Chain   string           `json:"chain"`
	Handle  int              `json:"handle"`
	Comment string           `json:"comment"`
	Expr    []map[string]any `json:"expr"`
}

type nftSet struct {
	Name  string   `json:"name"`
	Flags anyNames `json:"flags"`
	Elem  []any    `json:"elem"`
}

// anyNames is a list that nft shows as a single string if it has one member.
type anyNames []string

func (n *anyNames) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, (*[]string)(n)) == nil {
		return nil
	}
	var one string
	if err := json.Unmarshal(data, &one); err != nil {
		return err
	}
	*n = anyNames{one}
	return nil
}

// linePrefix begins the comments of our lines in the host's chains, see firewall/nftables.
const linePrefix = "ftpgate: "

// nftReader reads one table.
type nftReader struct {
	*table
	sets  map[string]nftSet
	texts map[int]string // of rules, by their handle
}

// addNFT takes a native table: what `nft -j list table` and `nft -a list table` say.
func (s *Ruleset) addNFT(document, listing []byte) error {
	var d nftDocument
	if err := json.Unmarshal(withoutFlags(document), &d); err != nil {
		return fmt.Errorf("reading what nft shows: %w", err)
	}
	n := nftReader{table: &table{program: programNFT, chains: map[string]*chain{}}, sets: map[string]nftSet{}, texts: textsOf(listing)}
	n.owned = ownedTable.Match(listing)
	devices := devicesOf(listing)
	var rules []nftRule
	for _, o := range d.Objects {
		for kind, raw := range o {
			if err := n.object(kind, raw, &rules); err != nil {
				return fmt.Errorf("reading what nft shows of a %s: %w", kind, err)
			}
		}
	}
	for name, device := range devices {
		if c := n.chains[name]; c != nil {
			c.device = device
		}
	}
	for _, r := range rules {
		if c := n.chains[r.Chain]; c != nil {
			c.rules = append(c.rules, n.rules(c, r)...)
		}
	}
	s.tables = append(s.tables, n.table)
	return nil
}

// ownedTable finds the flag of a table; those of its sets stand further to the right.
var ownedTable = regexp.MustCompile(`(?m)^\tflags .*\bowner\b`)

// withoutFlags leaves the flags of the table out: nft 1.0.6 writes there what happens to be in its memory.
func withoutFlags(document []byte) []byte {
	_, after, ok := bytes.Cut(document, []byte(`{"table": {`))
	if !ok {
		return document
	}
	end := bytes.Index(after, []byte(`}}, {`))
	if end < 0 {
		end = bytes.LastIndex(after, []byte(`}}]`))
	}
	begin := bytes.Index(after, []byte(`, "flags": `))
	if begin < 0 || end < begin {
		return document
	}
	head := document[:len(document)-len(after)+begin]
	return append(slices.Clone(head), after[end:]...)
}

func (n *nftReader) object(kind string, raw json.RawMessage, rules *[]nftRule) error {
	switch kind {
	case "table":
		var t nftTable
		if err := json.Unmarshal(raw, &t); err != nil {
			return err
		}
		n.family, n.name = t.Family, t.Name
	case "chain":
		var c nftChain
		if err := json.Unmarshal(raw, &c); err != nil {
			return err
		}
		own := &chain{table: n.table, name: c.Name, kind: c.Type, hook: c.Hook, priority: c.Priority, drops: c.Policy == "drop"}
		n.chains[c.Name] = own
		n.order = append(n.order, own)
	case "rule":
		var r nftRule
		if err := json.Unmarshal(raw, &r); err != nil {
			return err
		}
		*rules = append(*rules, r)
	case "set", "map":
		var s nftSet
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		n.sets[s.Name] = s
	}
	return nil
}

// textsOf takes the rules out of a listing with handles. A rule with a large set runs over several lines.
func textsOf(listing []byte) map[int]string {
	texts := map[int]string{}
	var text strings.Builder
	for lines := bufio.NewScanner(strings.NewReader(string(listing))); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		body, number, ends := strings.Cut(line, "# handle ")
		if strings.HasSuffix(strings.TrimSpace(body), "{") && ends || strings.HasPrefix(line, "type ") || line == "}" {
			text.Reset()
			continue
		}
		text.WriteString(body)
		if !ends {
			continue
		}
		var handle int
		if _, err := fmt.Sscan(number, &handle); err == nil {
			texts[handle] = strings.TrimSpace(text.String())
		}
		text.Reset()
	}
	return texts
}

// devicesOf finds the one device of each chain that has one; as JSON not every version of nft shows it.
func devicesOf(listing []byte) map[string]string {
	devices, name := map[string]string{}, ""
	for line := range strings.Lines(string(listing)) {
		words := strings.Fields(line)
		switch {
		case len(words) > 1 && words[0] == "chain":
			name = words[1]
		case len(words) > 5 && words[0] == "type" && words[4] == "device":
			devices[name] = strings.Trim(words[5], `"`)
		}
	}
	return devices
}

// rules turns one rule of nft into one of ours, or a verdict map into one for each of its elements.
func (n *nftReader) rules(c *chain, shown nftRule) (out []*rule) {
	r := &rule{chain: c, handle: shown.Handle, text: n.texts[shown.Handle], ours: strings.HasPrefix(shown.Comment, linePrefix)}
	for _, statement := range shown.Expr {
		for name, body := range statement {
			switch name {
			case "match":
				r.when = append(r.when, n.match(object(body)))
			case "vmap":
				return append(out, n.verdicts(r, object(body))...)
			default:
				n.statement(r, name, body)
			}
		}
	}
	return append(out, r)
}

// verdicts is a map of verdicts: the first element that matches decides, so that each is a rule.
func (n *nftReader) verdicts(r *rule, body map[string]any) (out []*rule) {
	elements, readable := object(body["data"])["set"].([]any)
	if !readable { // a named map, whose elements may come and go
		own := *r
		own.when, own.verdict = append(slices.Clone(r.when), always(unsure)), mayDrop
		return []*rule{&own}
	}
	for _, e := range elements {
		pair, _ := e.([]any)
		if len(pair) != 2 {
			continue
		}
		own := *r
		own.when = append(slices.Clone(r.when), n.equals(body["key"], pair[0]))
		for name, verdict := range object(pair[1]) {
			n.statement(&own, name, verdict)
		}
		out = append(out, &own)
	}
	return out
}

func object(v any) map[string]any { m, _ := v.(map[string]any); return m }

// statement reads what is neither a match nor a map. Statements that only count, log or change what does not concern
// us are passed over.
func (n *nftReader) statement(r *rule, name string, body any) {
	switch name {
	case "accept":
		r.verdict = accepts
	case "drop", "reject", "fwd":
		r.verdict = drops
	case "return":
		r.verdict = returns
	case "jump", "goto":
		r.target, _ = object(body)["target"].(string)
		r.verdict = jumps
		if name == "goto" {
			r.verdict = leaps
		}
	case "queue", "synproxy":
		r.verdict = mayDrop
	case "xt": // an extension of iptables, which nft cannot show
		r.when = append(r.when, always(unsure))
		if object(body)["type"] == "target" {
			r.verdict = mayDrop
		}
	case "limit", "quota", "connlimit", "ct count", "meter":
		r.when = append(r.when, always(unsure))
	case "notrack":
		r.effects = append(r.effects, effectOf(untracks, len(r.when)))
	case "ct helper":
		r.effects = append(r.effects, effectOf(assignsHelper, len(r.when)))
	case "mangle":
		n.mangle(r, object(body))
	}
}
