package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Preset is a ready-made choice of commands.
type Preset string

const (
	// Full passes every verb, also those that only the server knows.
	Full Preset = "full"
	// ReadOnly passes just the verbs below that change nothing on the server.
	ReadOnly Preset = "read_only"
	// UploadOnly passes what it takes to bring files: no download, no rename,
	// no removal.
	UploadOnly Preset = "upload_only"
)

// Commands restricts what clients may say.
type Commands struct {
	Preset Preset
	Deny   []string // verbs in upper case
}

// The restricted presets are lists of what passes, not of what is denied: a
// verb of some server that nobody here has heard of must not write to a
// read-only server.
var (
	conversation = []string{
		"USER", "PASS", "ACCT", "QUIT", "REIN", "NOOP", "HELP", "SYST", "STAT", "FEAT", "OPTS", "CLNT", "LANG", "HOST", "CSID",
		"AUTH", "ADAT", "PBSZ", "PROT", "CCC", "ALGS",
		"TYPE", "MODE", "STRU", "PORT", "EPRT", "PASV", "EPSV", "PRET", "REST", "ABOR", "ALLO",
		"CWD", "XCWD", "CDUP", "XCUP", "PWD", "XPWD", "LIST", "NLST", "MLSD", "MLST", "SIZE",
	}
	reading   = []string{"RETR", "MDTM", "HASH", "RANG", "XCRC", "XMD5", "XSHA", "XSHA1", "XSHA256", "XSHA512", "MD5", "AVBL", "THMB"}
	uploading = []string{"STOR", "STOU", "APPE", "MKD", "XMKD"}
)

// MDTM with two arguments sets a file's time on several servers, so the
// form with a leading time stamp counts as writing.
const timeStampLength = len("YYYYMMDDhhmmss")

// Allow returns a Refusal (502) when the rule does not let the verb pass.
// The argument is looked at only where the same verb both reads and writes.
func (c Commands) Allow(verb string, arg []byte) error {
	if slices.ContainsFunc(c.Deny, func(denied string) bool { return modern(denied) == modern(verb) }) {
		return c.refusal(verb, "is in commands.deny")
	}
	switch c.Preset {
	case ReadOnly:
		if !slices.Contains(conversation, verb) && !slices.Contains(reading, verb) || verb == "MDTM" && setsTime(arg) {
			return c.refusal(verb, "is not read_only")
		}
	case UploadOnly:
		if !slices.Contains(conversation, verb) && !slices.Contains(uploading, verb) {
			return c.refusal(verb, "is not upload_only")
		}
	}
	return nil
}

// Restricted reports whether there is any verb that c does not pass.
func (c Commands) Restricted() bool { return c.Preset != Full || len(c.Deny) > 0 }

func (c Commands) refusal(verb, because string) *Refusal {
	return refuse(CommandDenied, 502, "This command is not allowed here.", fmt.Sprintf("%s %s", verb, because))
}

// modern gives the verbs of RFC 775 the names that RFC 959 has given them.
func modern(verb string) string {
	switch verb {
	case "XMKD", "XRMD", "XCWD", "XPWD", "XCUP":
		return map[string]string{"XMKD": "MKD", "XRMD": "RMD", "XCWD": "CWD", "XPWD": "PWD", "XCUP": "CDUP"}[verb]
	}
	return verb
}

// setsTime also knows the form with a time zone, "20260101000000+60 f".
func setsTime(arg []byte) bool {
	if len(arg) <= timeStampLength || !strings.ContainsRune(" +-", rune(arg[timeStampLength])) || !slices.Contains(arg[timeStampLength:], ' ') {
		return false
	}
	return !slices.ContainsFunc(arg[:timeStampLength], func(b byte) bool { return b < '0' || b > '9' })
}

// Users says who may log in: names or patterns in which * stands for any run
// of characters. Without an Allow list everybody may whom Deny does not match.
// Deny does not tell upper from lower case, since some servers do not either
// and the door must be shut in front of those as well.
type Users struct{ Allow, Deny []string }

// Admit returns a Refusal (530) for a user who may not log in here.
func (u Users) Admit(user string) error {
	if matches(fold(u.Deny), strings.ToLower(user)) {
		return refuse(UserDenied, 530, "This user may not log in here.", fmt.Sprintf("user %q is in users.deny", user))
	}
	if len(u.Allow) > 0 && !matches(u.Allow, user) {
		return refuse(UserDenied, 530, "This user may not log in here.", fmt.Sprintf("user %q is not in users.allow", user))
	}
	return nil
}

func fold(patterns []string) []string {
	folded := make([]string, len(patterns))
	for i, p := range patterns {
		folded[i] = strings.ToLower(p)
	}
	return folded
}

func matches(patterns []string, user string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return match(pattern, user) })
}

// match compares without going back further than to the last star, so that no
// pattern makes a login expensive.
func match(pattern, name string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, first)
	if !ok {
		return false
	}
	for {
		part, more, star := strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], more
	}
}
