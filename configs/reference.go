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
