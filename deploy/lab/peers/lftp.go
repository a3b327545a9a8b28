package peers

import (
	"fmt"
	"strings"

	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
)

// Lftp is lftp. Over IPv4 it cannot say EPRT.
func Lftp() ClientKind {
	return ClientKind{
		Name: "lftp", prepare: prepareLftp,
		ipv4: []dialogue.Mode{dialogue.PORT, dialogue.PASV, dialogue.EPSV}, ipv6: dialogue.Modes(true),
	}
}

func prepareLftp(t Target, what task, files []File, _ string) (invocation, error) {
	script := []string{
		"debug 9",
		"set cmd:fail-exit yes",
		"set cmd:interactive no",
		"set net:timeout " + networkTimeout,
		"set net:max-retries 1",
		"set ftp:ssl-allow no",
		"set ftp:fix-pasv-address no", // it would put the server's address in the place of a private one
		"set xfer:clobber yes",
		fmt.Sprintf("set ftp:passive-mode %v", !t.Mode.Active()),
		fmt.Sprintf("set ftp:prefer-epsv %v", t.Mode == dialogue.EPSV),
		fmt.Sprintf("open -u %s,%s ftp://%s", t.login(), Password, t.Server),
	}
	for _, f := range files {
		remote, local := quoted(f.Remote), quoted(f.Local)
		switch what {
		case list:
			script = append(script, "ls "+remote)
		case get:
			script = append(script, fmt.Sprintf("get %s -o %s", remote, local))
		case resume:
			script = append(script, fmt.Sprintf("get -c %s -o %s", remote, local))
		case put:
			script = append(script, fmt.Sprintf("put %s -o %s", local, remote))
		}
	}
	script = append(script, "quit")
	return invocation{program: "lftp", args: []string{"--norc", "-c", strings.Join(script, "\n")}}, nil
}

// quoted writes a name as lftp's and tnftp's languages read it.
func quoted(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}
