package ftp

// knownVerbs are the verbs of the RFCs and those common in the field, interned so that reading one does not allocate.
// The table says nothing about what is allowed.
var knownVerbs = intern(
	// RFC 959, RFC 1123
	"USER", "PASS", "ACCT", "CWD", "CDUP", "SMNT", "REIN", "QUIT", "PORT", "PASV", "TYPE", "STRU", "MODE", "RETR",
	"STOR", "STOU", "APPE", "ALLO", "REST", "RNFR", "RNTO", "ABOR", "DELE", "RMD", "MKD", "PWD", "LIST", "NLST",
	"SITE", "SYST", "STAT", "HELP", "NOOP",
	// RFC 775
	"XCWD", "XCUP", "XMKD", "XPWD", "XRMD",
	// RFC 1639, RFC 2428, RFC 6384
	"LPRT", "LPSV", "EPRT", "EPSV", "ALGS",
	// RFC 2228, RFC 4217
	"AUTH", "ADAT", "PBSZ", "PROT", "CCC", "MIC", "CONF", "ENC",
	// RFC 2389, RFC 2640, RFC 3659, RFC 7151
	"FEAT", "OPTS", "LANG", "MDTM", "SIZE", "MLST", "MLSD", "HOST",
	// Drafts and common extensions
	"CLNT", "CSID", "MFMT", "MFCT", "MFF", "HASH", "RANG", "AVBL", "COMB", "DSIZ", "MD5", "MMD5", "THMB", "XCRC",
	"XMD5", "XSHA", "XSHA1", "XSHA256", "XSHA512", "PRET", "SPSV", "CPSV", "SSCN", "CEPR", "ESTA", "ESTP",
)

// foreignVerbs open the dialogue of another protocol: a browser or mail program made to speak to an FTP port. The
// connection is not continued, because the lines to come are chosen by whoever made it do so.
var foreignVerbs = intern(
	// HTTP (RFC 9110 §9, RFC 5789, RFC 9113 §3.4)
	"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI",
	// SMTP and LMTP (RFC 5321 §4.1, RFC 2033)
	"HELO", "EHLO", "LHLO", "MAIL", "RCPT", "DATA",
)

// secretVerbs begin a line whose rest must not be seen. A verb that begins with one of them (PASSWD) counts as well:
// what a client mistypes is a password all the same.
var secretVerbs = []secret{
	{verb: "PASS"},
	{verb: "ACCT"},
	{verb: "ADAT"},
	{verb: "SITE", sub: "PSWD"},
	{verb: "SITE", sub: "PASS"}, // glftpd, ioFTPD: PASSWD
	{verb: "SITE", sub: "CPWD"},
	{verb: "SITE", sub: "CHPASS"},
	{verb: "SITE", sub: "GPASS"}, // wu-ftpd: the password of a group
	{verb: "SITE", sub: "ADDUSER"},
}

type secret struct{ verb, sub string }

func (s secret) String() string {
	if s.sub == "" {
		return s.verb
	}
	return s.verb + " " + s.sub
}

func intern(verbs ...string) map[string]string {
	table := make(map[string]string, len(verbs))
	for _, verb := range verbs {
		table[verb] = verb
	}
	return table
}
