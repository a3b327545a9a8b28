// Package doctor looks at a host for what would make FTP fail through the gateway, before it runs and while it runs. Gather
// collects the facts and changes nothing; each check is a function of them that tells what it saw, what is wrong, why
// that matters, and the command that cures it.
package doctor

import (
	"github.com/ftpgate/ftpgate/configs"
	"github.com/ftpgate/ftpgate/firewall"
)

// Severity says what a finding means for FTP.
type Severity string

const (
	Fails Severity = "fails" // FTP fails, or a part of it that the configuration wants
	Warns Severity = "warns" // it may fail, or it cannot be told
	Notes Severity = "notes" // good to know
)

// Finding is one thing that is not as it should be.
type Finding struct {
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	What     string   `json:"what"`
	Why      string   `json:"why"`
	Cure     string   `json:"cure"` // a command, or a line of the configuration; "": nothing to do
}

// String is the finding in one line.
func (f Finding) String() string {
	if f.Cure == "" {
		return f.What + ". " + f.Why
	}
	return f.What + ". " + f.Why + " Cure: " + f.Cure
}

// Outcome is what one check has to say.
type Outcome struct {
	Check    string    `json:"check"`
	Saw      string    `json:"saw"` // what was looked at
	Findings []Finding `json:"findings,omitempty"`
	// Unchecked says what could not be looked at, and why; "": nothing.
	Unchecked string `json:"unchecked,omitempty"`
}

// Good tells whether all was looked at and nothing but notes was found.
func (o Outcome) Good() bool { return o.Unchecked == "" && o.worst() == Notes }

func (o Outcome) worst() Severity {
	worst := Notes
	for _, f := range o.Findings {
		if f.Severity == Fails || f.Severity == Warns && worst == Notes {
			worst = f.Severity
		}
	}
	return worst
}

// Report is all of it.
type Report struct {
	Config  string    `json:"config"`
	Running bool      `json:"running"`
	Backend string    `json:"backend"` // that is used, or would be
	Fails   bool      `json:"fails"`
	Checks  []Outcome `json:"checks"`
}

// checks in the order in which they are told.
var checks = []struct {
	name string
	look func(*Facts) Outcome
}{
	{"privileges", capabilities},
	{"files", files},
	{"packet filter", backend},
	{"gateway", gateway},
	{"interfaces", interfaces},
	{"sides", sidesSwapped},
	{"routes", routes},
	{"forwarding", forwarding},
	{"reverse path", reversePath},
	{"ip rules", ipRules},
	{"iptables", variants},
	{"on arrival", dropsAt(hookIngress, hookPrerouting)},
	{"input", dropsAt(hookInput)},
	{"forward", dropsAt(hookForward)},
	{"output", dropsAt(hookOutput)},
	{"on leaving", dropsAt(hookPostrouting, hookEgress)},
	{"marks", marks},
	{"connection tracking rules", tracking},
	{"helper", helper},
	{"conntrack", conntrackTable},
	{"listener", listener},
	{"data ports", dataPorts},
	{"bridge", bridge},
	{"owners", owners},
}

// Examine makes all checks.
func Examine(f *Facts) Report {
	r := Report{Config: f.Path, Running: f.Running, Backend: string(f.Backend.Name)}
	for _, c := range checks {
		o := c.look(f)
		o.Check = c.name
		r.Fails = r.Fails || o.worst() == Fails
		r.Checks = append(r.Checks, o)
	}
	return r
}

// AtStart returns what is wrong by the checks that read no rules: a gateway makes them when it starts.
func AtStart(c *configs.Config, frame firewall.Frame) (found []Finding) {
	f := gatherNetwork(c, frame)
	f.Running = true
	for _, look := range []func(*Facts) Outcome{interfaces, sidesSwapped, routes, forwarding, reversePath, bridge} {
		for _, finding := range look(f).Findings {
			if finding.Severity != Notes {
				found = append(found, finding)
			}
		}
	}
	return found
}
