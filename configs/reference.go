package configs

import (
	_ "embed"
	"slices"
)

//go:embed ftpgate.yaml
var reference []byte

// Reference is the commented file that states every key with its default. The interfaces and the rules in it, which
// have no default, are examples.
func Reference() []byte { return slices.Clone(reference) }

//go:embed examples/both.yaml
var example []byte

// Example is a whole file of the usual size.
func Example() []byte { return slices.Clone(example) }
