package peers

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

// debianPython is the interpreter that Debian's packages of Python modules are for; another python3 may come first in
// the path.
const debianPython = "/usr/bin/python3"

//go:embed pyftpdlib.py
var pyftpdlibScript string

// Pyftpdlib is a server written with Python's pyftpdlib. It connects for data from any port.
func Pyftpdlib() ServerKind {
	return ServerKind{Name: "pyftpdlib", prepare: preparePyftpdlib}
}

func preparePyftpdlib(in *instance) (command, error) {
	modules, err := CachePath("python3-pyftpdlib/usr/lib/python3/dist-packages")
	if err != nil {
		return command{}, err
	}
	settings := map[string]any{
		"address": in.at.Addr().String(), "port": in.at.Port(), "root": in.root, "user": User, "password": Password,
		"uid": unprivileged, "gid": unprivileged, "maximum": maxSessions, "first": in.Passive.First, "last": in.Passive.Last,
	}
	if in.announces() {
		settings["announce"] = in.Announce.String()
	}
	if in.TLS {
		settings["certificate"], settings["key"] = in.cert.certFile, in.cert.keyFile
	}
	text, err := json.Marshal(settings)
	if err != nil {
		return command{}, fmt.Errorf("writing its settings: %w", err)
	}
	script, err := in.write("server.py", pyftpdlibScript)
	return command{
		program: debianPython, args: []string{"-W", "ignore", script, string(text)},
		env: []string{"PYTHONPATH=" + modules, "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"},
	}, err
}
