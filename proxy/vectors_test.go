package proxy

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// vectorCounts is how many vectors there are of each kind; together 114.
var vectorCounts = []struct {
	kind  string
	count int
}{{"F", 16}, {"T", 9}, {"P", 32}, {"V", 32}, {"R", 10}, {"S", 13}, {"L", 2}}

// TestVectors holds the list of vectors and the dialogues together: every
// vector is on the list, every one that a dialogue is said to show has a case,
// and no case names a vector that is not on the list or belongs to later.
func TestVectors(t *testing.T) {
	places := readVectors(t)
	var all []string
	for _, k := range vectorCounts {
		for i := range k.count {
			all = append(all, fmt.Sprintf("%s%02d", k.kind, i+1))
		}
	}
	for _, id := range all {
		if _, ok := places[id]; !ok {
			t.Errorf("%s is not on the list", id)
		}
	}
	if len(places) != len(all) || len(all) != 114 {
		t.Errorf("%d vectors are on the list", len(places))
	}
	shown := make(map[string]bool)
	for _, c := range allDialogues(t) {
		if c.id == "-" {
			continue
		}
		shown[c.id] = true
		if !strings.Contains(" "+places[c.id]+" ", " dialogue ") {
			t.Errorf("%s: case %q: the list does not expect a dialogue for it: %q", c.file, c.title, places[c.id])
		}
	}
	for id, place := range places {
		if strings.Contains(" "+place+" ", " dialogue ") && !shown[id] {
			t.Errorf("no case shows %s", id)
		}
	}
}

// readVectors reads testdata/vectors.txt: by id, the places that show it.
func readVectors(t *testing.T) map[string]string {
	text, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	places := make(map[string]string)
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, " | ")
		if len(fields) != 3 || fields[2] == "" || !isPlace(fields[1]) {
			t.Fatalf("vectors.txt:%d: not id | place | meaning: %q", i+1, line)
		}
		if _, twice := places[fields[0]]; twice {
			t.Errorf("vectors.txt:%d: %s is there twice", i+1, fields[0])
		}
		places[fields[0]] = fields[1]
	}
	return places
}

func isPlace(text string) bool {
	if reason, later := strings.CutPrefix(text, "later: "); later {
		return reason != ""
	}
	for _, place := range strings.Fields(text) {
		if place != "dialogue" && place != "kernel" && place != "ftp" {
			return false
		}
	}
	return text != ""
}
