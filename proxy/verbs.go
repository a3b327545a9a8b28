package proxy

import (
	"github.com/ftpgate/ftpgate/proxy/ftp"
)

// verb is what the gateway knows of one FTP command. A verb that is not in the
// table passes both ways untouched.
type verb struct {
	name       string
	command    func(*session, ftp.Command) error                    // acts on the command; nil: forward it
	answer     func(*session, exchange, *ftp.Reply) ([]byte, error) // acts on each reply; nil: send it on
	transfer   bool                                                 // opens a data connection (RFC 959 §5.3, RFC 3659 §7)
	waits      bool                                                 // needs to know how earlier login and passive commands ended
	negotiates bool                                                 // asks for a data connection
	settles    bool                                                 // its reply decides what a data command means
	passive    int                                                  // code of the one reply that announces the server's data port
	disabled   string                                               // answered 502 without asking the server; the reason
	tls        bool                                                 // belongs to RFC 2228 and 4217
}

var (
	unknown  = &verb{name: "(other)"}
	ours     = &verb{name: "(ours)"}
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

		{name: "PORT", command: (*session).port, answer: (*session).portReply, waits: true, negotiates: true},
		{name: "EPRT", command: (*session).extendedPort, answer: (*session).portReply, waits: true, negotiates: true},
		{name: "PASV", command: (*session).passive, answer: (*session).passiveReply, passive: 227, waits: true, negotiates: true, settles: true},
		{name: "EPSV", command: (*session).extendedPassive, answer: (*session).extendedPassiveReply, passive: 229, waits: true, negotiates: true, settles: true},

		{name: "RETR", transfer: true}, {name: "STOR", transfer: true}, {name: "STOU", transfer: true}, {name: "APPE", transfer: true},
		{name: "LIST", transfer: true}, {name: "NLST", transfer: true}, {name: "MLSD", transfer: true},

		{name: "ABOR", answer: (*session).aborted},
		{name: "STAT"},
		{name: "TYPE", command: (*session).set, answer: (*session).typeReply},
		{name: "MODE", command: (*session).set, answer: (*session).modeReply, settles: true},
		{name: "FEAT", answer: (*session).features},

		{name: "AUTH", command: (*session).auth, answer: (*session).authReply, tls: true},
		{name: "ADAT", command: (*session).auth, answer: (*session).authReply, tls: true},
		{name: "PBSZ", tls: true}, {name: "PROT", tls: true}, {name: "CCC", tls: true},
		{name: "MIC", tls: true}, {name: "CONF", tls: true}, {name: "ENC", tls: true},

		{name: "LPRT", disabled: historic}, {name: "LPSV", disabled: historic},
		{name: "SPSV", disabled: "has no specification"},
		{name: "CPSV", disabled: fxp}, {name: "SSCN", disabled: fxp}, {name: "SPOR", disabled: fxp},
		{name: "CEPR", disabled: "makes 229 carry an address"},
	}
	verbs = make(map[string]*verb, len(table))
	for _, v := range table {
		if v.transfer {
			v.waits = true
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
