package configs

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// value is one place in the file: what stands at a key, or that nothing stands there.
type value struct {
	doc  *document
	path string   // rules[0].direction; empty for the top
	line int      // of the key; of the mapping that should hold it if it is not stated
	node ast.Node // nil: not stated
}

func (v value) stated() bool { return v.node != nil }

// below is the place of key in a mapping, without what stands there.
func (v value) below(key string, line int) value {
	path := key
	if v.path != "" {
		path = v.path + "." + key
	}
	return value{doc: v.doc, path: path, line: line}
}

// child is what stands at key in a mapping. Of a key that is stated twice it is the first.
func (v value) child(key string) value {
	child := v.below(key, v.line)
	pairs, _ := mapping(v.node)
	for _, pair := range pairs {
		if keyText(pair) == key {
			child.node, child.line = pair.Value, firstLine(pair.Key)
			break
		}
	}
	return child
}

// keyText is the key of a pair as the file states it.
func keyText(pair *ast.MappingValueNode) string {
	if tk := pair.Key.GetToken(); tk != nil {
		return tk.Value
	}
	return ""
}

// items gives what stands in a list; not a list has none.
func (v value) items() []value {
	list, ok := v.node.(*ast.SequenceNode)
	if !ok {
		return nil
	}
	items := make([]value, 0, len(list.Values))
	for i, node := range list.Values {
		item := value{doc: v.doc, path: fmt.Sprintf("%s[%d]", v.path, i), line: v.line, node: node}
		if line := firstLine(node); line > 0 {
			item.line = line
		}
		items = append(items, item)
	}
	return items
}

// list gives the items of a list that must not be longer than most. Anything else is recorded.
func (v value) list(most int) ([]value, bool) {
	if _, ok := v.node.(*ast.SequenceNode); !ok {
		if text, ok := scalar(v.node); ok {
			v.fail("not a list", "write ["+text+"]")
		} else {
			v.fail("not a list", "write the values in brackets: [one, another]")
		}
		return nil, false
	}
	items := v.items()
	if len(items) > most {
		v.fail(fmt.Sprintf("%d items, more than %d", len(items), most), "shorten the list")
		return nil, false
	}
	return items, true
}

// text gives the words of a single value; the schema, not YAML, says whether they are a number. Anything else is
// recorded with the cure.
func (v value) text(cure string) (string, bool) {
	text, ok := scalar(v.node)
	if !ok {
		v.fail(describe(v.node)+" where one value is expected", cure)
	}
	return text, ok
}

// scalar gives a single value as the file states it, without quotes.
func scalar(node ast.Node) (string, bool) {
	switch node.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return node.GetToken().Value, true
	}
	return "", false
}

// describe names what YAML calls a node.
func describe(node ast.Node) string {
	if _, ok := mapping(node); ok {
		return "a mapping"
	}
	switch node.(type) {
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	}
	return "something else"
}

// finding is an error or warning about this value.
func (v value) finding(problem, cure string) *Error {
	text, _ := scalar(v.node)
	return &Error{File: v.doc.file, Line: v.line, Key: v.path, Value: text, Problem: problem, Cure: cure}
}

func (v value) fail(problem, cure string) {
	v.doc.errors = append(v.doc.errors, v.finding(problem, cure))
}

func (v value) warn(problem, cure string) {
	v.doc.warnings = append(v.doc.warnings, v.finding(problem, cure))
}

// sound tells whether nothing wrong was found here or below, so that the value can be compared with others.
func (v value) sound() bool {
	for _, found := range v.doc.errors {
		if rest, ok := strings.CutPrefix(found.Key, v.path); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return false
		}
	}
	return true
}
