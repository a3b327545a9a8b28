package configs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// base is the least that is a configuration. Tests append to it or change a line of it.
const base = `interfaces: {lan: [eth0], wan: [eth1]}
rules:
  - {name: office, direction: outbound}
`

// top has the interfaces, so that a test states its own rules from line 2 on.
const top = "interfaces: {lan: [eth0], wan: [eth1]}\n"

// published is an inbound rule to which a test adds keys, from line 6 on.
const published = top + `rules:
  - name: public
    direction: inbound
    server: 192.168.50.20:21
`

// findings gives the lines of an error, or those of the warnings.
func findings(t *testing.T, text string) []string {
	t.Helper()
	config, warnings, err := Parse("f.yaml", []byte(text))
	if err != nil {
		if config != nil {
			t.Error("a configuration beside an error")
		}
		return strings.Split(err.Error(), "\n")
	}
	checkRoundTrip(t, config)
	var lines []string
	for _, one := range warnings {
		lines = append(lines, "warning: "+one.String())
	}
	return lines
}

// Each case is a text and all that is found in it.
type findingCase struct {
	name, text string
	want       []string
}

func checkFindings(t *testing.T, cases []findingCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(findings(t, c.text), "\n")
			if want := strings.Join(c.want, "\n"); got != want {
				t.Errorf("found\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestDocument(t *testing.T) {
	const notYAML = `; check the indentation, brackets and quotes of this line and of its neighbours; a value with ": ", " #" or brackets in it needs quotes`
	const empty = "f.yaml: the file states nothing; state at least interfaces and rules"
	const anchors = "YAML anchors and aliases (& * <<) are not read; write the values out, or put a text that begins with one of these signs in quotes"
	const tags = "YAML tags and directives (! %) are not read; remove it, or put a text that begins with one of these signs in quotes"
	checkFindings(t, []findingCase{
		{"good", base, nil},
		{"byte order mark", "\xef\xbb\xbf" + base, nil},
		{"carriage returns", strings.ReplaceAll(base, "\n", "\r\n"), nil},
		{"one document with its marks", "---\n" + base + "...\n", nil},
		{"empty", "", []string{empty}},
		{"only a comment", "# nothing\n", []string{empty}},
		{"only a mark", "---\n", []string{empty}},
		{"null", "~\n", []string{empty}},
		{"a text", "hello\n", []string{
			`f.yaml:1: "hello": not a mapping; write its keys with their values: interfaces, data_ports, advertise, firewall, listen_port, status, audit, rules, log`}},
		{"two documents", base + "---\n" + base, []string{`f.yaml:5: a second YAML document begins here ("---"); keep one`}},
		{"too large", strings.Repeat("#\n", largestFile), []string{"f.yaml: the file is larger than 1048576 bytes; is it really a configuration?"}},
		{"too many keys", strings.Repeat("a: 1\n", mostTokens), []string{"f.yaml: the file holds more than 65536 words and signs; is it really a configuration?"}},
		{"too long a line", base + "# " + strings.Repeat("x", longestLine), []string{"f.yaml:4: longer than 4096 bytes; break the line: one item of a list on each"}},
		{"too deep", strings.Repeat("[\n", 1000), []string{"f.yaml:17: more than 16 brackets within brackets; no key needs that"}},
		{"many hyphens", strings.Repeat("- ", 2000) + "\n", []string{
			"f.yaml:1: not a mapping; write its keys with their values: interfaces, data_ports, advertise, firewall, listen_port, status, audit, rules, log"}},
		{"tabs", base + "log:\n\tlevel: info\n\tformat: json\n", []string{
			"f.yaml:5: a tab in the indentation; indent with spaces",
			"f.yaml:6: a tab in the indentation; indent with spaces"}},
		{"not UTF-8", base + "# \xff\n", []string{"f.yaml:4: not a line of UTF-8 text; save the file as UTF-8"}},
		{"a zero byte", base + "# \x00\n", []string{"f.yaml:4: not a line of UTF-8 text; save the file as UTF-8"}},
		{"an open bracket", "a: 1\nb: [1, 2\n", []string{"f.yaml:2: not YAML: sequence end token ']' not found" + notYAML}},
		{"an address without quotes", published + "    servers: [2001:db8::1]:21\n", []string{
			"f.yaml:6: not YAML: value is not allowed in this context" + notYAML}},
		{"wrong indentation", base + "log:\n  level: info\n format: json\n", []string{
			"f.yaml:6: not YAML: value is not allowed in this context" + notYAML}},
		{"bomb", "a: &a [x, x]\nb: &b [*a, *a]\n", []string{
			"f.yaml:1: " + anchors, "f.yaml:2: " + anchors, "f.yaml:2: " + anchors, "f.yaml:2: " + anchors}},
		{"merge key", base + "log: {<<: {level: info}}\n", []string{"f.yaml:4: " + anchors}},
		{"glob without quotes", strings.Replace(base, "outbound}", "outbound, users: {allow: [*]}}", 1), []string{"f.yaml:3: " + anchors}},
		{"tag", base + "listen_port: !!int 2121\n", []string{"f.yaml:4: " + tags}},
		{"directive", "%YAML 1.2\n---\n" + base, []string{"f.yaml:1: " + tags}},
		{"question mark", "? interfaces\n: {}\n", []string{`f.yaml:1: a YAML key written with "?" is not read; write key: value`}},
		{"block text", base + "advertise: |\n  ftp.example.com\n", []string{
			"f.yaml:4: a text of several lines (| >) is not read; write the value on the line of its key"}},
	})
}

func TestKeys(t *testing.T) {
	checkFindings(t, []findingCase{
		{"near", strings.Replace(base, "outbound}", "outbound, client: [any]}", 1), []string{
			"f.yaml:3: rules[0].client: unknown key; did you mean clients?"}},
		{"hyphen and capitals", base + "Listen-Port: 1\n", []string{"f.yaml:4: Listen-Port: unknown key; did you mean listen_port?"}},
		{"one level too high", base + "pinhole_timeout: 60s\n", []string{
			"f.yaml:4: pinhole_timeout: unknown key; did you mean firewall.pinhole_timeout?"}},
		{"far", base + "log: {colour: blue}\n", []string{"f.yaml:4: log.colour: unknown key; the keys here are level, format"}},
		{"twice", base + "log: {level: info}\nlisten_port: 1\nlog: {level: debug}\n", []string{"f.yaml:6: log: stated before, in line 4; keep one"}},
		{"later in a rule", published + "    tls: {server: off}\n    data: {server_mode: client}\n", []string{
			"f.yaml:6: rules[0].tls.server: this key comes with a later version of ftpgate; remove it",
			"f.yaml:7: rules[0].data.server_mode: this key comes with a later version of ftpgate; remove it"}},
		{"null", base + "advertise:\nfirewall: ~\n", []string{
			"f.yaml:4: advertise: no value; give it one, or remove the key",
			"f.yaml:5: firewall: no value; give it one, or remove the key"}},
		{"missing", "log: {}\n", []string{
			"f.yaml:1: interfaces.lan: missing; name the interfaces of the trusted side: lan: [eth0]",
			"f.yaml:1: interfaces.wan: missing; name the interfaces of the Internet side: wan: [eth1]",
			"f.yaml:1: rules: missing; write at least one: - {name: office, direction: outbound}"}},
		{"missing in a rule", top + "rules:\n  - ports: [21]\n", []string{
			"f.yaml:3: rules[0].name: missing; name the rule, for example name: office",
			"f.yaml:3: rules[0].direction: missing; write direction: outbound or direction: inbound"}},
		{"not a mapping", base + "log: info\nfirewall: [iptables]\n", []string{
			`f.yaml:4: log: "info": not a mapping; write its keys with their values: level, format`,
			"f.yaml:5: firewall: not a mapping; write its keys with their values: backend, iptables, pinhole_timeout, forwarding, masquerade"}},
		{"no rule", top + "rules: []\n", []string{"f.yaml:2: rules: no rule; write at least one: - {name: office, direction: outbound}"}},
		{"rules not a list", top + "rules: {name: office}\n", []string{
			"f.yaml:2: rules: not a list; write the values in brackets: [one, another]"}},
		{"a rule that is a word", top + "rules: [office]\n", []string{
			`f.yaml:2: rules[0]: "office": not a mapping; write its keys with their values: name, direction, clients, servers, ports, server, preserve_client_address, data, tls, commands, users, limits, timeouts`}},
		{"all at once, by line", "listen_port: 0\ndata_ports: 9\n" + base + "log: {level: loud}\n", []string{
			`f.yaml:1: listen_port: "0": not a port; write a number from 1 to 65535`,
			`f.yaml:2: data_ports: "9": not a range of ports; write the first and the last port: 50000-51999`,
			`f.yaml:6: log.level: "loud": not a level; write debug, info, warn or error`}},
	})
}

func TestTooManyRules(t *testing.T) {
	text := top + "rules:\n" + strings.Repeat("  - {name: a, direction: outbound}\n", mostRules+1)
	want := "f.yaml:2: rules: 257 items, more than 256; shorten the list"
	if got := strings.Join(findings(t, text), "\n"); got != want {
		t.Errorf("found %s, want %s", got, want)
	}
}

func TestLoad(t *testing.T) {
	folder := t.TempDir()
	good := filepath.Join(folder, "good.yaml")
	if err := os.WriteFile(good, []byte(base), 0o600); err != nil {
		t.Fatal(err)
	}
	if config, _, err := Load(good); err != nil || config.Rules[0].Name != "office" {
		t.Errorf("%+v %v", config, err)
	}
	missing := filepath.Join(folder, "none.yaml")
	_, _, err := Load(missing)
	if want := missing + ": cannot open the configuration: no such file or directory; create it, or name another with --config"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error("the operating system's error is lost")
	}
	_, _, err = Load(folder)
	if want := folder + ": cannot read the configuration: is a directory; name a regular file with --config"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestErrorTypes(t *testing.T) {
	_, _, err := Parse("f.yaml", []byte(strings.Replace(base, "outbound", "outwards", 1)))
	var all Errors
	var one *Error
	if !errors.As(err, &all) || len(all) != 1 || !errors.As(err, &one) {
		t.Fatalf("%T %v", err, err)
	}
	want := Error{File: "f.yaml", Line: 3, Key: "rules[0].direction", Value: "outwards", Problem: "not a direction", Cure: "write outbound or inbound"}
	if *one != want {
		t.Errorf("%+v, want %+v", *one, want)
	}
	if want := `f.yaml:3: rules[0].direction: "outwards": not a direction; write outbound or inbound`; err.Error() != want {
		t.Errorf("%s, want %s", err, want)
	}
}

// What a terminal would obey, and what would fill it, is not shown as it is.
func TestQuotedValues(t *testing.T) {
	escape := Error{File: "f", Value: "\x1b[2J" + strings.Repeat("x", 200), Problem: "p"}
	if want := `f: "\x1b[2J` + strings.Repeat("x", 96) + `…": p`; escape.Error() != want {
		t.Errorf("%s, want %s", escape.Error(), want)
	}
}

func TestYAMLRefusesWhatParseRefuses(t *testing.T) {
	config := Defaults()
	if text, err := config.YAML(); err == nil {
		t.Errorf("a configuration without interfaces and rules was printed:\n%s", text)
	}
}

// FuzzParse: nothing panics, and what parses survives being printed.
func FuzzParse(f *testing.F) {
	f.Add(string(Reference()))
	examples, err := filepath.Glob("examples/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range examples {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(base)
	f.Add(published + "    users: {allow: [\"a b\", '*', \"\\\"\\\\\"], deny: [ÿ, \"null\", \"1\"]}\n")
	f.Add("a: &a [*a]\n? x\n: y\n")
	f.Fuzz(func(t *testing.T, text string) {
		config, _, err := Parse("fuzz.yaml", []byte(text))
		if err != nil {
			var found Errors
			if !errors.As(err, &found) || len(found) == 0 {
				t.Fatalf("not an Errors: %T", err)
			}
			return
		}
		checkRoundTrip(t, config)
	})
}
