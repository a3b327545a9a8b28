package peers

import (
	"fmt"
	"os"
	"strings"
)

// vsftpdPAM admits everybody under every name. The users are all the same one to vsftpd: guests.
const vsftpdPAM = "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n"

// Vsftpd is vsftpd with a guest.
func Vsftpd() ServerKind {
	return ServerKind{Name: "vsftpd", DataPort20: true, prepare: prepareVsftpd}
}

func prepareVsftpd(in *instance) (command, error) {
	program, err := CachePath("vsftpd/usr/sbin/vsftpd")
	if err != nil {
		return command{}, err
	}
	listen := "listen=YES\nlisten_address="
	if in.at.Addr().Is6() {
		listen = "listen=NO\nlisten_ipv6=YES\nlisten_address6="
	}
	lines := []string{
		listen + in.at.Addr().String(),
		fmt.Sprintf("listen_port=%d", in.at.Port()),
		"background=NO",
		"anonymous_enable=NO",
		"local_enable=YES",
		"guest_enable=YES",
		"guest_username=" + unprivilegedName,
		"nopriv_user=" + unprivilegedName,
		"virtual_use_local_privs=YES",
		"pam_service_name=vsftpd",
		"local_root=" + in.root,
		"chroot_local_user=YES",
		"allow_writeable_chroot=YES",
		"local_umask=022",
		"write_enable=YES",
		"secure_chroot_dir=" + in.dir,
		fmt.Sprintf("max_clients=%d", maxSessions),
		"async_abor_enable=YES",
		"connect_from_port_20=" + yesNo(!in.AnyDataPort),
		fmt.Sprintf("ftp_data_port=%d", in.at.Port()-1),
		"vsftpd_log_file=" + in.path("vsftpd.log"),
		"xferlog_enable=YES",
		"log_ftp_protocol=YES",
		"use_localtime=NO",
		// A namespace of its own for each session would be most of the time of a test with many; what the clients see
		// is the same.
		"isolate=NO",
		"isolate_network=NO",
		"seccomp_sandbox=NO",
	}
	if in.Passive.First != 0 {
		lines = append(lines, fmt.Sprintf("pasv_min_port=%d\npasv_max_port=%d", in.Passive.First, in.Passive.Last))
	}
	if in.announces() {
		lines = append(lines, "pasv_address="+in.Announce.String())
	}
	if in.TLS {
		lines = append(lines, "ssl_enable=YES", "force_local_logins_ssl=NO", "force_local_data_ssl=NO", "rsa_cert_file="+in.cert.certFile,
			"rsa_private_key_file="+in.cert.keyFile, "require_ssl_reuse="+yesNo(in.TLSReuse))
	}
	config, err := in.write("vsftpd.conf", strings.Join(lines, "\n")+"\n")
	if err != nil {
		return command{}, err
	}
	if err := os.Mkdir(in.path("pam.d"), 0o755); err != nil {
		return command{}, err
	}
	if _, err := in.write("pam.d/vsftpd", vsftpdPAM); err != nil {
		return command{}, err
	}
	// PAM reads /etc/pam.d. `ip netns exec` gives the process mounts of its own, where ours can stand in its place.
	script := `mount --bind "$1" /etc/pam.d && exec "$2" "$3"`
	return command{
		program: "/bin/sh", args: []string{"-c", script, "vsftpd", in.path("pam.d"), program, config},
		logs: []string{in.path("vsftpd.log")},
	}, nil
}

// yesNo writes a boolean as vsftpd reads it.
func yesNo(b bool) string {
	if b {
		return "YES"
	}
	return "NO"
}
