package configs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of what is given to the YAML parser, whose time grows with the square of the number of keys and whose stack
// grows with the nesting. 256 rules that state every key stay well below them.
const (
	longestLine = 4096 // bytes; bounds the nesting of "- - -" and of indentation
	mostTokens  = 1 << 16
	deepestFlow = 16 // brackets within brackets; the schema needs 3
)

// document collects what is found in one file.
type document struct {
	file     string
	errors   []*Error
	warnings []*Error
}

// fail records an error about the file as a whole or about one of its lines.
func (d *document) fail(line int, problem, cure string) {
	d.errors = append(d.errors, &Error{File: d.file, Line: line, Problem: problem, Cure: cure})
}

// open gives the top of the only YAML document in data. If there is none, the reason is recorded.
func (d *document) open(data []byte) value {
	root := value{doc: d}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // byte order mark: some editors of Windows put it there
	if !d.readable(data) {
		return root
	}
	tokens := lexer.Tokenize(string(data))
	if !d.plain(tokens) {
		return root
	}
	// Duplicate keys are allowed here because readGroup reports them, with the line of the first.
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(err)
		return root
	}
	body, line := d.only(file)
	if body == nil {
		return root
	}
	root.node, root.line = body, line
	return root
}

// readable checks the bytes: size, encoding, long lines and tabs. YAML forbids tabs in the indentation, and the parser
// would speak of a token that cannot start.
func (d *document) readable(data []byte) bool {
	if len(data) > largestFile {
		d.fail(0, fmt.Sprintf("the file is larger than %d bytes", largestFile), "is it really a configuration?")
		return false
	}
	good := true
	number := 0
	for line := range bytes.Lines(data) {
		number++
		indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
		switch {
		case !utf8.Valid(line) || bytes.IndexByte(line, 0) >= 0:
			d.fail(number, "not a line of UTF-8 text", "save the file as UTF-8")
			good = false
		case len(line) > longestLine:
			d.fail(number, fmt.Sprintf("longer than %d bytes", longestLine), "break the line: one item of a list on each")
			good = false
		case bytes.IndexByte(indent, '\t') >= 0 && len(bytes.TrimSpace(line)) > 0:
			d.fail(number, "a tab in the indentation", "indent with spaces")
			good = false
		}
	}
	return good
}

// plain refuses the parts of YAML that a configuration does not need and that hide what it says: one value standing
// for another, types, directives. So nothing can multiply when it is read.
func (d *document) plain(tokens token.Tokens) bool {
	if len(tokens) > mostTokens {
		d.fail(0, fmt.Sprintf("the file holds more than %d words and signs", mostTokens), "is it really a configuration?")
		return false
	}
	good, depth := true, 0
	for _, tk := range tokens {
		problem, cure := "", ""
		switch tk.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			problem, cure = "YAML anchors and aliases (& * <<) are not read", "write the values out, or put a text that begins with one of these signs in quotes"
		case token.TagType, token.DirectiveType:
			problem, cure = "YAML tags and directives (! %) are not read", "remove it, or put a text that begins with one of these signs in quotes"
		case token.MappingKeyType:
			problem, cure = `a YAML key written with "?" is not read`, "write key: value"
		case token.LiteralType, token.FoldedType:
			problem, cure = "a text of several lines (| >) is not read", "write the value on the line of its key"
		case token.SequenceStartType, token.MappingStartType:
			if depth++; depth > deepestFlow {
				d.fail(tk.Position.Line, fmt.Sprintf("more than %d brackets within brackets", deepestFlow), "no key needs that")
				return false
			}
		case token.SequenceEndType, token.MappingEndType:
			depth--
		}
		if problem != "" {
			d.fail(tk.Position.Line, problem, cure)
			good = false
		}
	}
	return good
}

// syntax records what the YAML parser says.
func (d *document) syntax(err error) {
	line, problem := 0, err.Error()
	var found yaml.Error
	if errors.As(err, &found) {
		problem = found.GetMessage()
		if tk := found.GetToken(); tk != nil && tk.Position != nil {
			line = tk.Position.Line
		}
	}
	problem, _, _ = strings.Cut(problem, "\n")
	d.fail(line, "not YAML: "+problem,
		`check the indentation, brackets and quotes of this line and of its neighbours; a value with ": ", " #" or brackets in it needs quotes`)
}

// only gives the body of the file's one document and the line where it begins.
func (d *document) only(file *ast.File) (ast.Node, int) {
	var body ast.Node
	for _, one := range file.Docs {
		if one.Body == nil {
			continue
		}
		if body != nil {
			d.fail(firstLine(one.Body), `a second YAML document begins here ("---")`, "keep one")
			return nil, 0
		}
		body = one.Body
	}
	if body == nil || body.Type() == ast.NullType {
		d.fail(0, "the file states nothing", "state at least interfaces and rules")
		return nil, 0
	}
	return body, firstLine(body)
}

// firstLine is the line where node begins; that of a mapping is its first key's.
func firstLine(node ast.Node) int {
	if pairs, ok := mapping(node); ok && len(pairs) > 0 {
		node = pairs[0].Key
	}
	tk := node.GetToken()
	if tk == nil || tk.Position == nil {
		return 0
	}
	return tk.Position.Line
}

// mapping gives the pairs of a mapping.
func mapping(node ast.Node) ([]*ast.MappingValueNode, bool) {
	switch m := node.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	return nil, false
}
