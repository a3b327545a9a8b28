package page_test

import (
	"io/fs"
	"regexp"
	"testing"

	"github.com/ftpgate/ftpgate/proxy/status/page"
)

// forbidden is what the policy "default-src 'self'" would keep from working, and what could make markup of a string.
var forbidden = regexp.MustCompile(`(?i)<style|\sstyle=|<script[^>]*>[^<]|\son[a-z]+="|https?://|innerHTML|outerHTML|` +
	`insertAdjacentHTML|document\.write|\beval\(|new Function|@import|\burl\(`)

// namespace is the only address that may be written: it names SVG, and nobody asks it.
const namespace = "http://www.w3.org/2000/svg"

// reference is what one file of the page wants of another.
var reference = regexp.MustCompile(`(?:(?:src|href)="([\w.]+)"|from '\./([\w.]+)')`)

func TestFilesNeedNothingElse(t *testing.T) {
	names, err := fs.Glob(page.Files, "*")
	if err != nil || len(names) < 3 {
		t.Fatalf("the page's files are %q, error %v", names, err)
	}
	served := map[string]bool{"metrics": true} // by the endpoint itself
	for _, name := range names {
		served[name] = true
	}
	for _, name := range names {
		raw, err := fs.ReadFile(page.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		text := regexp.MustCompile(regexp.QuoteMeta(namespace)).ReplaceAllString(string(raw), "")
		if found := forbidden.FindString(text); found != "" {
			t.Errorf("%s has %q", name, found)
		}
		for _, wanted := range reference.FindAllStringSubmatch(text, -1) {
			if file := wanted[1] + wanted[2]; !served[file] {
				t.Errorf("%s wants %s, which is not among the files", name, file)
			}
		}
	}
}
