package proxy

import (
	"strings"

	"github.com/ftpgate/ftpgate/proxy/ftp"
)

// verb is what the gateway knows of one FTP command. A verb that is not in the
// table passes both ways untouched.
type verb struct {
	name     string
	command  func(*session, ftp.Command) error                    // acts on the command; nil: forward it
	answer   func(*session, exchange, *ftp.Reply) ([]byte, error) // acts on each reply; nil: send it on
	transfer bool                                                 // opens a data connection (RFC 959 §5.3, RFC 3659 §7)
	data     bool                                                 // needs to know how earlier login and passive commands ended
	settles  bool                                                 // its reply decides what a data command means
	passive  int                                                  // code of the one reply that announces the server's data port
	disabled string                                               // answered 502 without asking the server; the reason
	tls      bool                                                 // belongs to RFC 2228 and 4217
}

var (
	unknown  = &verb{name: "(other)"}
	greeting = &verb{name: "(greeting)", answer: (*session).greeted, settles: true}
	verbs    map[string]*verb
)

// The table is filled at start since its handlers look verbs up themselves.
func init() {
	const (
		historic = "is historic and opens what nobody checks (RFC 1639)"
		fxp      = "is for server-to-server transfers"
	)
	table := []*verb{
		{name: "USER", command: (*session).claimUser, answer: (*session).loginReply, settles: true},
		{name: "PASS", answer: (*session).loginReply, settles: true},
		{name: "ACCT", answer: (*session).loginReply, settles: true},
		{name: "REIN", answer: (*session).reinitialized, settles: true},
		{name: "QUIT", command: (*session).quit},

		{name: "PORT", command: (*session).port, answer: (*session).portReply, data: true},
		{name: "EPRT", command: (*session).extendedPort, answer: (*session).portReply, data: true},
		{name: "PASV", command: (*session).passive, answer: (*session).passiveReply, passive: 227, data: true, settles: true},
		{name: "EPSV", command: (*session).extendedPassive, answer: (*session).extendedPassiveReply, passive: 229, data: true, settles: true},

		{name: "RETR"}, {name: "STOR"}, {name: "STOU"}, {name: "APPE"},
		{name: "LIST"}, {name: "NLST"}, {name: "MLSD"},

		{name: "ABOR", answer: (*session).aborted},
		{name: "STAT"},
		{name: "MODE", command: (*session).mode, answer: (*session).modeReply, settles: true},
		{name: "FEAT", answer: (*session).features},

		{name: "AUTH", command: (*session).auth, answer: (*session).authReply, tls: true},
		{name: "ADAT", answer: (*session).authReply, tls: true},
		{name: "PBSZ", tls: true}, {name: "PROT", tls: true}, {name: "CCC", tls: true},
		{name: "MIC", tls: true}, {name: "CONF", tls: true}, {name: "ENC", tls: true},

		{name: "LPRT", disabled: historic}, {name: "LPSV", disabled: historic},
		{name: "SPSV", disabled: "has no specification"},
		{name: "CPSV", disabled: fxp}, {name: "SSCN", disabled: fxp},
		{name: "CEPR", disabled: "makes 229 carry an address"},
	}
	verbs = make(map[string]*verb, len(table))
	for _, v := range table {
		if strings.Contains(" RETR STOR STOU APPE LIST NLST MLSD ", " "+v.name+" ") {
			v.transfer, v.data = true, true
			v.command, v.answer = (*session).transfer, (*session).transferReply
		}
		verbs[v.name] = v
	}
}

// lookup finds the verb in the table; upper case is expected.
func lookup(name string) *verb {
	if v, ok := verbs[name]; ok {
		return v
	}
	return unknown
}
