package configs

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

var update = flag.Bool("update", false, "rewrite the configuration section of README.md")

// The reference is the defaults, plus what has none: the interfaces and what the two rules state.
func TestReferenceIsTheDefaults(t *testing.T) {
	want := Defaults()
	want.Interfaces = Interfaces{LAN: []string{"eth0"}, WAN: []string{"eth1"}}
	office := DefaultRule(Outbound)
	office.Name = "office"
	public := DefaultRule(Inbound)
	public.Name = "public"
	public.Server = []netip.AddrPort{netip.MustParseAddrPort("192.168.50.20:21")}
	want.Rules = []Rule{office, public}

	got, warnings, err := Parse("ftpgate.yaml", Reference())
	if err != nil || len(warnings) > 0 {
		t.Fatalf("the reference has findings: %v %v", err, warnings)
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("the reference says\n%+v\nthe defaults are\n%+v", *got, want)
	}
}

// Every key of the schema is in the reference, and the other way round.
func TestReferenceHasEveryKey(t *testing.T) {
	file, err := parser.ParseBytes(Reference(), 0)
	if err != nil {
		t.Fatal(err)
	}
	stated := keysIn("", file.Docs[0].Body)
	schema := allKeys("", new(Config).fields())
	for _, key := range schema {
		if !slices.Contains(stated, key) {
			t.Errorf("the reference does not show %s", key)
		}
	}
	for _, key := range stated {
		if !slices.Contains(schema, key) {
			t.Errorf("the reference shows %s, which the schema does not have", key)
		}
	}
}

// keysIn lists the paths of the keys that have no keys below them.
func keysIn(path string, node ast.Node) []string {
	var keys []string
	if pairs, ok := mapping(node); ok {
		for _, pair := range pairs {
			keys = append(keys, keysIn(strings.TrimPrefix(path+"."+keyText(pair), "."), pair.Value)...)
		}
		return keys
	}
	list, ok := node.(*ast.SequenceNode)
	if !ok || path != "rules" {
		return []string{path}
	}
	for _, item := range list.Values {
		keys = append(keys, keysIn(path+"[]", item)...)
	}
	return keys
}

func TestReferenceIsACopy(t *testing.T) {
	Reference()[0] = 'X'
	if Reference()[0] == 'X' {
		t.Error("who changes what Reference gives changes the reference")
	}
}

func TestExamples(t *testing.T) {
	files, err := filepath.Glob("examples/*.yaml")
	if err != nil || len(files) != 4 {
		t.Fatalf("examples: %v %v", files, err)
	}
	for _, file := range files {
		config, warnings, err := Load(file)
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v %v", file, err, warnings)
			continue
		}
		checkRoundTrip(t, config)
	}
}

// checkRoundTrip proves that a configuration survives being printed, and that what is printed states every key.
func checkRoundTrip(t *testing.T, config *Config) {
	t.Helper()
	text, err := config.YAML()
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := Parse("printed", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if !reflect.DeepEqual(config, again) {
		t.Fatalf("printing changed\n%+v\nto\n%+v\nby\n%s", config, again, text)
	}
}

const (
	readmeBegin = "<!-- configuration:begin -->"
	readmeEnd   = "<!-- configuration:end -->"
)

// The table in README.md is made of the reference: go test ./configs -run TestReadme -update
func TestReadme(t *testing.T) {
	const readme = "../README.md"
	text, err := os.ReadFile(readme)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	head, rest, begins := strings.Cut(string(text), readmeBegin)
	section, tail, ends := strings.Cut(rest, readmeEnd)
	if !begins || !ends {
		if *update || begins {
			t.Fatalf("%s has no section between %s and %s", readme, readmeBegin, readmeEnd)
		}
		return
	}
	want := "\n" + keyTable(t) + "\n"
	if *update {
		if err := os.WriteFile(readme, []byte(head+readmeBegin+want+readmeEnd+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if section != want {
		t.Errorf("the configuration table of README.md is not that of ftpgate.yaml; run: go test ./configs -run TestReadme -update")
	}
}

func TestKeyTable(t *testing.T) {
	table := keyTable(t)
	for _, want := range []string{
		"| `interfaces.lan` | (to be stated) | The trusted side:",
		"| `data_ports` | `50000-51999` | Public ports lent",
		"| `advertise` | `\"\"` | Only behind yet another NAT",
		"| `rules[].preserve_client_address` | `true` inbound, `false` outbound | true: the server sees",
		"| `rules[].server` | (none) | Where the connections go",
		"| `rules[].timeouts.data_idle` | `15m` | For a data connection",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("the table has no %q:\n%s", want, table)
		}
	}
}

// keyTable is the Markdown table of every key with its default and what the reference says of it.
func keyTable(t *testing.T) string {
	t.Helper()
	escape := strings.NewReplacer("|", `\|`, "*", `\*`, "<", `\<`) // what Markdown would obey
	var b strings.Builder
	b.WriteString("| key | default | meaning |\n|---|---|---|\n")
	for _, key := range Keys() {
		if key.Meaning == "" {
			t.Errorf("the reference does not explain %s", key.Path)
		}
		shown := "`" + key.Inbound + "`"
		switch {
		case key.Must:
			shown = "(to be stated)"
		case key.Inbound == "" && key.Outbound == "":
			shown = "(none)"
		case key.Inbound != key.Outbound:
			shown += " inbound, `" + key.Outbound + "` outbound"
		}
		b.WriteString("| `" + key.Path + "` | " + shown + " | " + escape.Replace(key.Meaning) + " |\n")
	}
	return b.String()
}

// allKeys lists the keys of the schema as paths: rules[].data.modes.
func allKeys(prefix string, fields []field) []string {
	var keys []string
	for _, f := range fields {
		path := prefix + f.key
		switch {
		case f.parts != nil:
			keys = append(keys, allKeys(path+".", f.parts)...)
		case f.elements != nil:
			keys = append(keys, allKeys(path+"[].", f.elements()[0])...)
		default:
			keys = append(keys, path)
		}
	}
	return keys
}
