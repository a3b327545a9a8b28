package peers

import "github.com/ftpgate/ftpgate/deploy/lab/dialogue"

// Curl is curl. When a server refuses EPRT or EPSV over IPv4 it tries PORT or PASV by itself.
func Curl() ClientKind {
	return ClientKind{Name: "curl", ipv4: dialogue.Modes(false), ipv6: dialogue.Modes(true), prepare: prepareCurl}
}

func prepareCurl(t Target, what task, files []File, _ string) (invocation, error) {
	args := []string{
		"--disable", "--silent", "--show-error", "--verbose", "--fail-early",
		"--connect-timeout", networkTimeout, "--user", t.login() + ":" + Password,
	}
	switch t.Mode {
	case dialogue.PORT:
		args = append(args, "--ftp-port", "-", "--disable-eprt")
	case dialogue.EPRT:
		args = append(args, "--ftp-port", "-")
	case dialogue.PASV:
		// By default it would overlook the address in the 227, and with that whatever is wrong with it.
		args = append(args, "--disable-epsv", "--no-ftp-skip-pasv-ip")
	}
	for _, f := range files {
		switch what {
		case list:
			args = append(args, t.url(f.Remote)+"/")
		case get:
			args = append(args, "--output", f.Local, t.url(f.Remote))
		case resume:
			args = append(args, "--continue-at", "-", "--output", f.Local, t.url(f.Remote))
		case put:
			args = append(args, "--upload-file", f.Local, t.url(f.Remote))
		}
	}
	return invocation{program: "curl", args: args}, nil
}
