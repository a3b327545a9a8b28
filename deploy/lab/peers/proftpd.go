package peers

import (
	"fmt"
	"strings"
)

// ProFTPD is proftpd with a virtual user.
func ProFTPD() ServerKind {
	return ServerKind{Name: "proftpd", DataPort20: true, prepare: prepareProFTPD}
}

func prepareProFTPD(in *instance) (command, error) {
	program, err := CachePath("proftpd-core/usr/sbin/proftpd")
	if err != nil {
		return command{}, err
	}
	users, err := in.write("users", fmt.Sprintf("%s:%s:%d:%d::%s:/bin/false\n", User, passwordHash, unprivileged, unprivileged, in.root))
	if err != nil {
		return command{}, err
	}
	lines := []string{
		"ServerName lab",
		"ServerType standalone",
		"DefaultAddress " + in.at.Addr().String(),
		"SocketBindTight on",
		fmt.Sprintf("Port %d", in.at.Port()),
		"UseIPv6 on",
		"User " + unprivilegedName,
		"Group " + unprivilegedName,
		"Umask 022",
		"AuthOrder mod_auth_file.c",
		"AuthUserFile " + users,
		"RequireValidShell off",
		"DefaultRoot ~",
		"UseReverseDNS off",
		"WtmpLog off",
		"DelayEngine off",
		"AllowOverwrite on",
		"AllowStoreRestart on",
		"TimesGMT on",
		fmt.Sprintf("MaxInstances %d", maxSessions),
		"PidFile " + in.path("pid"),
		"ScoreboardFile " + in.path("scoreboard"),
		"DebugLevel 3",
	}
	// It may bind port 20 only with root's rights, and connects from another port without them.
	revoke := "off"
	if in.AnyDataPort {
		revoke = "on"
	}
	lines = append(lines, "RootRevoke "+revoke)
	if in.Passive.First != 0 {
		lines = append(lines, fmt.Sprintf("PassivePorts %d %d", in.Passive.First, in.Passive.Last))
	}
	if in.announces() {
		lines = append(lines, "MasqueradeAddress "+in.Announce.String())
	}
	if in.TLS {
		modules, err := CachePath("proftpd-mod-crypto/usr/lib/proftpd")
		if err != nil {
			return command{}, err
		}
		lines = append(lines, "ModulePath "+modules)
		lines = append(lines, proFTPDTLS(in)...)
	}
	config, err := in.write("proftpd.conf", strings.Join(lines, "\n")+"\n")
	return command{program: program, args: []string{"--nodaemon", "--config", config}, logs: []string{in.path("tls.log")}}, err
}

func proFTPDTLS(in *instance) []string {
	lines := []string{
		"LoadModule mod_tls.c",
		"TLSEngine on",
		"TLSRequired off",
		"TLSLog " + in.path("tls.log"),
		"TLSRSACertificateFile " + in.cert.certFile,
		"TLSRSACertificateKeyFile " + in.cert.keyFile,
	}
	if !in.TLSReuse {
		lines = append(lines, "TLSOptions NoSessionReuseRequired")
	}
	return lines
}
