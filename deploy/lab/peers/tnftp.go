package peers

import (
	"fmt"
	"strings"

	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
)

// Tnftp is tnftp, which Debian also calls ftp. When a server refuses EPSV over IPv4 it tries PASV by itself.
func Tnftp() ClientKind {
	return ClientKind{
		Name: "tnftp", prepare: prepareTnftp, check: checkTnftp,
		ipv4: dialogue.Modes(false), ipv6: dialogue.Modes(true),
	}
}

func prepareTnftp(t Target, what task, files []File, _ string) (invocation, error) {
	mode := "-p"
	if t.Mode.Active() {
		mode = "-A"
	}
	var script []string
	if t.Mode == dialogue.PORT || t.Mode == dialogue.PASV {
		script = append(script, "epsv4 off") // it stands for EPRT as well
	}
	script = append(script,
		fmt.Sprintf("open %s %d", t.Server.Addr(), t.Server.Port()),
		fmt.Sprintf("user %s %s", t.login(), Password),
		"binary",
	)
	for _, f := range files {
		remote, local := quoted(f.Remote), quoted(f.Local)
		switch what {
		case list:
			script = append(script, "ls "+remote)
		case get:
			script = append(script, fmt.Sprintf("get %s %s", remote, local))
		case resume:
			script = append(script, fmt.Sprintf("reget %s %s", remote, local))
		case put:
			script = append(script, fmt.Sprintf("put %s %s", local, remote))
		}
	}
	script = append(script, "quit", "")
	return invocation{
		program: "tnftp", args: []string{"-d", "-i", "-n", "-v", mode, "-q", networkTimeout},
		input: strings.Join(script, "\n"),
	}, nil
}

// checkTnftp counts the transfers that the server has called complete: tnftp goes on after a failure, and ends with 0.
func checkTnftp(_ task, files []File, output string) error {
	complete := 0
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "226 ") {
			complete++
		}
	}
	if complete < len(files) {
		return fmt.Errorf("%d of %d transfers are complete", complete, len(files))
	}
	return nil
}
