package doctor

import (
	"fmt"
	"strings"
)

// files tells of those that the daemon cannot open, as the user that runs it.
func files(f *Facts) Outcome {
	o := Outcome{Saw: "what the configuration names can be opened by user " + f.Runner}
	var unsure []string
	for _, n := range f.Files {
		if n.Unsure {
			unsure = append(unsure, fmt.Sprintf("%s (%s): %s", n.Key, n.Path, n.Problem))
			continue
		}
		o.Findings = append(o.Findings, Finding{ID: "file", Severity: Fails, What: fmt.Sprintf("%s, %s: %s", n.Key, n.Path, n.Problem),
			Why: "The gateway does not start without it.", Cure: n.Cure})
	}
	o.Unchecked = strings.Join(unsure, "; ")
	return o
}
