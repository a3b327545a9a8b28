package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// blockSize is the length in bytes after which the content of the files repeats.
const blockSize = 1 << 20

// block is the content of every file, over and over. Its words differ from each other, so that bytes which arrive at
// the wrong place are noticed wherever one looks.
var block = makeBlock()

func makeBlock() []byte {
	b := make([]byte, blockSize)
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], uint64(i+1)*0x9e3779b97f4a7c15)
	}
	return b
}

// at is the content that begins at an offset of a file, as far as it lies in one piece: at most most bytes.
func at(offset, most int64) []byte {
	from := offset % blockSize
	return block[from:min(blockSize, from+most)]
}

// file is what a name means to the server: there are no files, but those of any length.
type file struct {
	length   int64         // in bytes
	duration time.Duration // not zero: as much as leaves in that time, and the length does not count
}

// sizes are the units of a length in a file's name.
var sizes = map[byte]int64{'k': 1 << 10, 'M': 1 << 20, 'G': 1 << 30}

// parseFile reads the name of a file: a length such as 512, 1k, 64M or 4G, or a duration such as 2s or 250ms.
func parseFile(name string) (file, error) {
	if number := strings.TrimRight(name, "kMG"); number != "" && len(name)-len(number) <= 1 {
		unit := int64(1)
		if len(number) < len(name) {
			unit = sizes[name[len(number)]]
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err == nil && n >= 0 && n <= math.MaxInt64/unit {
			return file{length: n * unit}, nil
		}
	}
	if d, err := time.ParseDuration(name); err == nil && d > 0 {
		return file{duration: d}, nil
	}
	return file{}, fmt.Errorf("%q is neither a length (1k, 64M, 4G) nor a duration (2s)", name)
}
