package nftables

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// each shows the attributes that stand in a row.
func each(attrs []byte, see func(kind uint16, value []byte)) {
	for len(attrs) >= unix.NLA_HDRLEN {
		size := int(binary.NativeEndian.Uint16(attrs))
		if size < unix.NLA_HDRLEN || size > len(attrs) {
			return
		}
		see(binary.NativeEndian.Uint16(attrs[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), attrs[unix.NLA_HDRLEN:size])
		attrs = attrs[min(len(attrs), (size+3)&^3):]
	}
}

// find returns the value of the first attribute of a kind on the way down through nested ones; nil: not there.
func find(attrs []byte, path ...uint16) []byte {
	for _, want := range path {
		var found []byte
		each(attrs, func(kind uint16, value []byte) {
			if kind == want && found == nil {
				found = value
			}
		})
		attrs = found
	}
	return attrs
}

// u32 and u64 read numbers as nf_tables writes them; an attribute that is missing is 0.
func u32(value []byte) uint32 {
	if len(value) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(value)
}

func u64(value []byte) uint64 {
	if len(value) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(value)
}

func text(value []byte) string {
	first, _, _ := bytes.Cut(value, []byte{0})
	return string(first)
}
