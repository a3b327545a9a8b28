package peers

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
)

// Ncftp is the family of ncftpget, ncftpput and ncftpls. They know neither IPv6 nor the commands of RFC 2428.
func Ncftp() ClientKind {
	return ClientKind{
		Name: "ncftp", prepare: prepareNcftp,
		ipv4: []dialogue.Mode{dialogue.PORT, dialogue.PASV},
	}
}

func prepareNcftp(t Target, what task, files []File, _ string) (invocation, error) {
	mode := "-F"
	if t.Mode.Active() {
		mode = "-E"
	}
	args := []string{
		mode, "-d", "stdout", "-t", networkTimeout, "-r", "1",
		"-u", t.login(), "-p", Password, "-P", fmt.Sprint(t.Server.Port()),
	}
	host := t.Server.Addr().String()
	switch {
	case what == list:
		return invocation{program: "ncftpls", args: append(args, "-l", "ftp://"+host+"/"+files[0].Remote+"/")}, nil
	case what == put && len(files) == 1:
		return invocation{program: "ncftpput", args: append(args, "-C", host, files[0].Local, files[0].Remote)}, nil
	case what == resume:
		return invocation{program: "ncftpget", args: append(args, "-z", "-C", host, files[0].Remote, files[0].Local)}, nil
	case len(files) == 1:
		return invocation{program: "ncftpget", args: append(args, "-Z", "-C", host, files[0].Remote, files[0].Local)}, nil
	}
	return ncftpMany(args, host, what, files)
}

// ncftpMany moves several files in one session. They keep their names, and go to one directory.
func ncftpMany(args []string, host string, what task, files []File) (invocation, error) {
	from, to := func(f File) string { return f.Remote }, func(f File) string { return f.Local }
	program := "ncftpget"
	if what == put {
		program, from, to = "ncftpput", to, from
	}
	args = append(args, host, filepath.Dir(to(files[0])))
	for _, f := range files {
		if filepath.Dir(f.Local) != filepath.Dir(files[0].Local) || filepath.Dir(f.Remote) != filepath.Dir(files[0].Remote) ||
			filepath.Base(f.Local) != filepath.Base(f.Remote) {
			return invocation{}, errors.New("it moves several files only with their names and from one directory to one other")
		}
		args = append(args, from(f))
	}
	return invocation{program: program, args: args}, nil
}
