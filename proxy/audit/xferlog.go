package audit

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ftpgate/ftpgate/proxy"
)

// inXferlog tells whether xferlog has a line for it: uploads and downloads that
// reached a server.
func inXferlog(t *proxy.Transfer) bool {
	return (t.Kind == proxy.Upload || t.Kind == proxy.Download) && (t.Result == proxy.Done || t.Result == proxy.Failed || t.Result == proxy.LeftRunning)
}

// xferlogLine is a line of wu-ftpd's xferlog(5), nil where there is none:
//
//	current-time transfer-time remote-host file-size filename transfer-type
//	special-action-flag direction access-mode username service-name
//	authentication-method authenticated-user-id completion-status
//
// The time is local and that of the end. The direction is the server's: o is a
// download. Where wu-ftpd writes the password of an anonymous user, the user's
// name stands.
func xferlogLine(t *proxy.Transfer) []byte {
	if !inXferlog(t) {
		return nil
	}
	kind, direction, access, completion := 'a', 'o', 'r', 'i'
	if t.Image {
		kind = 'b'
	}
	if t.Kind == proxy.Upload {
		direction = 'i'
	}
	if user := strings.ToLower(t.User); user == "anonymous" || user == "ftp" { // RFC 1635
		access = 'a'
	}
	if t.Result == proxy.Done {
		completion = 'c'
	}
	// wu-ftpd and vsftpd write 1 for less than a second: readers divide by it.
	seconds := max(1, int64(t.Duration.Round(time.Second)/time.Second))
	return fmt.Appendf(nil, "%s %d %s %d %s %c _ %c %c %s ftp 0 * %c\n",
		t.Began.Add(t.Duration).Local().Format(time.ANSIC), seconds, t.Client.Addr().Unmap().WithZone(""), t.Bytes,
		xferlogName(t.Path), kind, direction, access, xferlogName(t.User), completion)
}

// xferlogName is a name as a field: what could end it, or speak to a terminal,
// is an underscore, as in the xferlog of wu-ftpd and ProFTPD. A name that is
// missing (STOU) is one as well, since readers count the fields.
func xferlogName(name string) string {
	if name == "" {
		return "_"
	}
	var b strings.Builder
	for rest := name; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		switch wrong := r == utf8.RuneError && size == 1; {
		case wrong && rest[0] <= 0xa0, // C1 and the no-break space, if somebody reads Latin-1
			!wrong && (unicode.IsSpace(r) || !unicode.IsPrint(r)):
			b.WriteByte('_')
		default:
			b.WriteString(rest[:size])
		}
		rest = rest[size:]
	}
	return b.String()
}
