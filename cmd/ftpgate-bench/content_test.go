package main

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestParseFile(t *testing.T) {
	for name, want := range map[string]file{
		"0": {}, "17": {length: 17}, "1k": {length: 1 << 10}, "64M": {length: 64 << 20}, "4G": {length: 4 << 30},
		"2s": {duration: 2 * time.Second}, "250ms": {duration: 250 * time.Millisecond},
	} {
		if got, err := parseFile(name); err != nil || got != want {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "k", "1kk", "-1", "-1k", "1T", "0s", "-2s", "9223372036854775807G", "bulk"} {
		if got, err := parseFile(name); err == nil {
			t.Errorf("%q is taken for %+v", name, got)
		}
	}
}

// TestContentIsChecked: what is at another place, or changed, is not taken for the file.
func TestContentIsChecked(t *testing.T) {
	around := append(slices.Clone(at(blockSize-100, 100)), at(0, 100)...)
	if !isContent(around, blockSize-100) {
		t.Error("the content is not recognized where the block begins again")
	}
	if isContent(around, blockSize-108) {
		t.Error("shifted content is taken for the file")
	}
	around[150] ^= 1
	if isContent(around, blockSize-100) {
		t.Error("changed content is taken for the file")
	}
	piece := slices.Clone(at(0, pieceSize))
	piece[len(piece)-1] ^= 1
	if likeContent(piece, 0) || likeContent(piece[8:], 0) || !likeContent(piece[:len(piece)-1], 0) {
		t.Error("the edges of a large piece are not compared")
	}
}

func TestHostPort(t *testing.T) {
	want := netip.MustParseAddrPort("192.0.2.1:50001")
	text := appendHostPort(nil, want)
	if string(text) != "192,0,2,1,195,81" {
		t.Errorf("%s is written %s", want, text)
	}
	if got, err := parseHostPort(text); err != nil || got != want {
		t.Errorf("%s is read as %s, %v", text, got, err)
	}
	if got, err := parsePassive([]byte("Entering passive mode (192,0,2,1,195,81).")); err != nil || got != want {
		t.Errorf("227 is read as %s, %v", got, err)
	}
	for _, bad := range []string{"", "1,2,3,4,5", "1,2,3,4,5,6,7", "1,2,3,4,5,256", "1,2,3,4,5,", "a,2,3,4,5,6"} {
		if got, err := parseHostPort([]byte(bad)); err == nil {
			t.Errorf("%q is taken for %s", bad, got)
		}
	}
	for text, want := range map[string]string{"|1|192.0.2.1|1025|": "192.0.2.1:1025", "|2|2001:db8::1|1025|": "[2001:db8::1]:1025"} {
		if got, err := parseExtended(text); err != nil || got.String() != want {
			t.Errorf("%s is read as %s, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "|", "|1|192.0.2.1|1025", "|1|nobody|1025|", "|1|192.0.2.1|65536|"} {
		if got, err := parseExtended(bad); err == nil {
			t.Errorf("%q is taken for %s", bad, got)
		}
	}
}
