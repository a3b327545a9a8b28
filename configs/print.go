package configs

import (
	"fmt"
	"regexp"
	"strings"
)

// YAML is the configuration with every key stated, in the order of the reference file. [Parse] accepts it and yields an
// equal Config; a Config that it would refuse is an error.
func (c *Config) YAML() ([]byte, error) {
	var b strings.Builder
	printGroup(&b, "", c.fields())
	text := []byte(b.String())
	if _, _, err := Parse("effective configuration", text); err != nil {
		return nil, fmt.Errorf("printing the configuration: %w", err)
	}
	return text, nil
}

// printGroup prints a mapping, each line indented.
func printGroup(b *strings.Builder, indent string, fields []field) {
	for _, f := range fields {
		switch {
		case f.parts != nil:
			b.WriteString(indent + f.key + ":\n")
			printGroup(b, indent+"  ", f.parts)
		case f.elements != nil:
			b.WriteString(indent + f.key + ":\n")
			for _, element := range f.elements() {
				printElement(b, indent+"  ", element)
			}
		default:
			if text := f.print(); text != "" {
				b.WriteString(indent + f.key + ": " + text + "\n")
			}
		}
	}
}

// printElement prints a mapping that is an item of a list: its first line begins with a hyphen.
func printElement(b *strings.Builder, indent string, fields []field) {
	var item strings.Builder
	printGroup(&item, indent+"  ", fields)
	b.WriteString(indent + "- " + strings.TrimLeft(item.String(), " "))
}

// plainText is what every YAML reader takes for a text wherever it stands: a word, and an IPv4 address with prefix
// length or port. notText are the words that some take for something else.
var (
	plainText = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9._-]*|\d+\.\d+\.\d+\.\d+([/:]\d+)?)$`)
	notText   = regexp.MustCompile(`(?i)^(y|n|yes|no|on|off|true|false|null|nan|inf)$`)
)

// word is a text as YAML: plain if nobody can misread it, else in quotes.
func word(text string) string {
	if plainText.MatchString(text) && !notText.MatchString(text) {
		return text
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// flow is a list on one line.
func flow(words []string) string { return "[" + strings.Join(words, ", ") + "]" }
