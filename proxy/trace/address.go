package trace

import (
	"fmt"
	"net/netip"

	"github.com/ftpgate/ftpgate/proxy/ftp"
)

// announced reads where a client waits for a data connection.
func announced(c command) (end netip.AddrPort, ok bool) {
	var err error
	switch c.verb {
	case "PORT":
		end, err = ftp.ParsePort(c.arg)
	case "EPRT":
		end, err = ftp.ParseExtendedPort(c.arg)
	default:
		return end, false
	}
	return end, err == nil
}

// passiveEnd reads where a server waits for a data connection, as it is said on a leg.
func passiveEnd(r reply, l *leg) (end netip.AddrPort, ok bool) {
	switch r.code {
	case 227:
		end, err := ftp.FindPassive(r.words())
		return end, err == nil
	case 229:
		port, err := ftp.FindExtendedPassive(r.words())
		return netip.AddrPortFrom(l.server.Addr(), port), err == nil
	}
	return end, false
}

// difference says what became of an address in a command, behind the command.
func difference(said, got command) string {
	from, ok := announced(said)
	to, also := announced(got)
	switch {
	case ok && also:
		return became(from, to)
	case said.verb != got.verb:
		return fmt.Sprintf(" (the client said %s)", said.verb)
	}
	return ""
}

// passiveDifference says what became of an address in a reply.
func passiveDifference(said reply, by *leg, got reply, at *leg) string {
	from, ok := passiveEnd(said, by)
	to, also := passiveEnd(got, at)
	if !ok || !also {
		return ""
	}
	return became(from, to)
}

// became says what happened to an endpoint on its way.
func became(from, to netip.AddrPort) string {
	switch {
	case from == to:
		return fmt.Sprintf(" (the same place: %s)", to)
	case from.Addr() == to.Addr():
		return fmt.Sprintf(" (another port: %s became %s)", from, to)
	}
	return fmt.Sprintf(" (another address: %s became %s)", from, to)
}
