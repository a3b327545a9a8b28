package configs

import (
	"net/netip"
	"path/filepath"
	"strings"
)

// listen is where the status endpoint listens: address:port, unix:/path, or nowhere.
func listen(at *string) kind {
	const cure = `write an address and a port, such as 127.0.0.1:9121 or "[::1]:9121", or unix:/run/ftpgate/status.sock, or "" for none`
	return kind{
		read: func(v value) {
			text, ok := v.text(cure)
			if !ok {
				return
			}
			path, unix := strings.CutPrefix(text, "unix:")
			switch {
			case text == "":
			case unix && (!filepath.IsAbs(path) || len(path) > 100): // sun_path holds 108 bytes
				v.fail("not the absolute path of a socket of at most 100 bytes", cure)
				return
			case unix:
			default:
				address, err := netip.ParseAddrPort(text)
				if err != nil || address.Port() == 0 {
					v.fail("not an address with a port", cure)
					return
				}
			}
			*at = text
		},
		print: func() string { return word(*at) },
	}
}

// file is the absolute path of a file, or nothing.
func file(at *string) kind {
	const cure = `write an absolute path such as /var/log/ftpgate/transfers.json, or "" for none`
	return kind{
		read: func(v value) {
			text, ok := v.text(cure)
			switch {
			case !ok:
			case text != "" && !filepath.IsAbs(text):
				v.fail("not an absolute path", cure)
			default:
				*at = text
			}
		},
		print: func() string { return word(*at) },
	}
}

// checkStatus refuses an endpoint that everybody could read.
func (c *Config) checkStatus(status value) {
	if !status.sound() {
		return
	}
	s := c.Status
	if (s.TLSCertificate == "") != (s.TLSKey == "") {
		status.fail("one of tls_certificate and tls_key without the other", "state both, or none")
	}
	address, err := netip.ParseAddrPort(s.Listen)
	if err == nil && !address.Addr().Unmap().IsLoopback() && s.TokenFile == "" && s.TLSCertificate == "" {
		status.child("listen").fail("everybody who reaches this address could read users, addresses and files",
			"write 127.0.0.1:"+portOf(s.Listen)+", or state status.token_file, or tls_certificate and tls_key")
	}
}

func portOf(listen string) string { return listen[strings.LastIndexByte(listen, ':')+1:] }

// checkAudit refuses one file for both forms.
func (c *Config) checkAudit(audit value) {
	if c.Audit.Transfers != "" && c.Audit.Transfers == c.Audit.Xferlog {
		audit.child("xferlog").fail("the same file as audit.transfers", "write another one")
	}
}
