package peers

import (
	"fmt"
	"os/exec"
)

// PureFTPd is pure-ftpd with a virtual user.
func PureFTPd() ServerKind {
	return ServerKind{Name: "pure-ftpd", DataPort20: true, prepare: preparePureFTPd}
}

func preparePureFTPd(in *instance) (command, error) {
	program, err := CachePath("pure-ftpd/usr/sbin/pure-ftpd")
	if err != nil {
		return command{}, err
	}
	users, err := pureFTPdUsers(in)
	if err != nil {
		return command{}, err
	}
	args := []string{
		"--bind", fmt.Sprintf("%s,%d", in.at.Addr(), in.at.Port()),
		"--login", "puredb:" + users,
		"--chrooteveryone",
		"--noanonymous",
		"--dontresolve",
		"--minuid", "1",
		"--umask", "022:022",
		"--maxclientsnumber", fmt.Sprint(maxSessions),
		"--maxclientsperip", fmt.Sprint(maxSessions),
		"--altlog", "clf:" + in.path("transfers.log"),
		"--syslogfacility", "none",
		"--pidfile", in.path("pid"),
	}
	if in.Passive.First != 0 {
		args = append(args, "--passiveportrange", fmt.Sprintf("%d:%d", in.Passive.First, in.Passive.Last))
	}
	if in.announces() {
		args = append(args, "--forcepassiveip", in.Announce.String())
	}
	if in.TLS {
		args = append(args, "--tls", "1", "--certfile", in.cert.certFile+","+in.cert.keyFile)
	}
	return command{program: program, args: args, logs: []string{in.path("transfers.log")}}, nil
}

// pureFTPdUsers makes the data base of the one user.
func pureFTPdUsers(in *instance) (string, error) {
	pw, err := CachePath("pure-ftpd/usr/bin/pure-pw")
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%s:%s:%d:%d::%s/./::::::::::::\n", User, passwordHash, unprivileged, unprivileged, in.root)
	passwords, err := in.write("passwd", text)
	if err != nil {
		return "", err
	}
	base := in.path("users.pdb")
	output, err := exec.Command(pw, "mkdb", base, "-f", passwords).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s mkdb: %w: %s", pw, err, output)
	}
	return base, err
}
