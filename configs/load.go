package configs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// largestFile bounds what is read, in bytes. The reference file has about 8 KiB.
const largestFile = 1 << 20

// Load reads and checks the file at path. The error is an [Errors]; warnings are given beside a good configuration.
func Load(path string) (*Config, []Warning, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, nil, Errors{unreadable(path, err)}
	}
	return Parse(path, data)
}

// readFile reads one byte more than is allowed, so that Parse can tell that the file is too large.
func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, largestFile+1))
}

// unreadable says what kept the file from being read.
func unreadable(path string, err error) *Error {
	found := &Error{File: path, Problem: err.Error(), cause: err}
	var failed *fs.PathError
	if errors.As(err, &failed) {
		found.Problem = fmt.Sprintf("cannot %s the configuration: %v", failed.Op, failed.Err)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		found.Cure = "create it, or name another with --config"
	case errors.Is(err, fs.ErrPermission):
		found.Cure = "run as root, or let this user read it"
	default:
		found.Cure = "name a regular file with --config"
	}
	return found
}

// Parse checks data, which findings call name. The error is an [Errors]; warnings are given beside a good configuration.
func Parse(name string, data []byte) (*Config, []Warning, error) {
	doc := &document{file: name}
	config := Defaults()
	if root := doc.open(data); root.stated() {
		fields := config.fields()
		readGroup(root, fields)
		config.check(root)
	}
	if len(doc.errors) > 0 {
		sortByLine(doc.errors)
		return nil, nil, Errors(doc.errors)
	}
	sortByLine(doc.warnings)
	var warnings []Warning
	for _, one := range doc.warnings {
		warnings = append(warnings, Warning(*one))
	}
	return &config, warnings, nil
}
