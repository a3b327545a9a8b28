package peers

import (
	_ "embed"
	"encoding/json"

	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
)

//go:embed ftplib.py
var ftplibScript string

// Ftplib is a client written with Python's ftplib.
func Ftplib() ClientKind {
	return ClientKind{
		Name: "ftplib", prepare: prepareFtplib,
		ipv4: dialogue.Modes(false), ipv6: dialogue.Modes(true),
	}
}

func prepareFtplib(t Target, what task, files []File, _ string) (invocation, error) {
	settings, err := json.Marshal(map[string]any{
		"address": t.Server.Addr().String(), "port": t.Server.Port(), "mode": t.Mode,
		"user": t.login(), "password": Password, "files": files,
		"task": [...]string{list: "list", get: "get", put: "put", resume: "resume"}[what],
	})
	return invocation{
		program: debianPython, args: []string{"-W", "ignore", "-", string(settings)}, input: ftplibScript,
	}, err
}
