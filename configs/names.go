package configs

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// longestInterface is IFNAMSIZ less its final zero byte (linux/if.h).
const longestInterface = 15

// interfaceName is what a name may be made of: what the kernel admits (dev_valid_name in net/core/dev.c) less what
// iptables reads differently: a leading "-" or "!", and a final "+", which means every name that begins so.
var interfaceName = regexp.MustCompile(`^[^-!/:\pC\s][^/:\pC\s]*$`)

// interfaces is a list of names of network interfaces.
func interfaces(at *[]string) kind {
	const cure = "write the name that ip link shows"
	return names(at, mostInterfaces, "name at least one interface", cure, func(v value, name string) string {
		switch {
		case len(name) > longestInterface:
			v.fail("longer than the 15 bytes of an interface name", cure)
		case name == "." || name == ".." || !interfaceName.MatchString(name):
			v.fail("not the name of an interface", cure)
		case strings.HasSuffix(name, "+"):
			v.fail("an interface cannot be a pattern", "name each interface")
		case name == "lo":
			v.fail("the loopback interface has no other side", "name the interface that leads to the network")
		}
		return name
	})
}

// names is a list of unique words that check admits, in the form that it gives them; check records what is wrong. An
// empty list is an error if needed says what to do about it.
func names(at *[]string, most int, needed, cure string, check func(v value, name string) string) kind {
	return kind{
		read: func(v value) {
			items, ok := v.list(most)
			if ok && len(items) == 0 && needed != "" {
				v.fail("an empty list", needed)
			}
			var list []string
			for _, item := range unique(items) {
				name, ok := item.text(cure)
				if !ok {
					continue
				}
				if name == "" {
					item.fail("an empty text", cure)
					continue
				}
				if name = check(item, name); slices.Contains(list, name) {
					item.fail("stated twice", "keep one")
					continue
				}
				list = append(list, name)
			}
			*at = list
		},
		print: func() string {
			words := make([]string, len(*at))
			for i, name := range *at {
				words[i] = word(name)
			}
			return flow(words)
		},
	}
}

// rulePattern keeps names of rules usable in logs, in comments of firewall rules and as labels.
var rulePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func ruleName(at *string) kind {
	const cure = "write up to 64 letters, digits, dots, underscores and hyphens, a letter or digit first"
	return kind{
		read: func(v value) {
			text, ok := v.text(cure)
			switch {
			case !ok:
			case rulePattern.MatchString(text):
				*at = text
			default:
				v.fail("not a name for a rule", cure)
			}
		},
		print: func() string { return word(*at) },
	}
}

// verbPattern is the form of a command's verb. RFC 959 section 5.3 has up to four letters; commands that came later
// or that only some servers know are longer and have digits, such as XSHA256.
var verbPattern = regexp.MustCompile(`^[A-Z][A-Z0-9]{1,15}$`)

// verbs is a list of commands, in any letter case. One that nobody knows is probably misspelled, and would deny nothing.
func verbs(at *[]string) kind {
	const cure = "write a command such as SITE"
	return names(at, mostVerbs, "", cure, func(v value, name string) string {
		verb := strings.ToUpper(name)
		if !verbPattern.MatchString(verb) {
			v.fail("not the verb of a command", cure)
		} else if known := knownVerbs(); !slices.Contains(known, verb) {
			check := "check the spelling"
			if near := nearest(verb, known); near != "" {
				check = "did you mean " + near + "?"
			}
			v.warn("not a command that ftpgate has heard of", check)
		}
		return verb
	})
}

// knownVerbs are the commands of the IANA registry "FTP Commands and Extensions", of the drafts that servers follow,
// and of common servers.
func knownVerbs() []string {
	return strings.Fields(`
		ABOR ACCT ADAT ALGS ALLO APPE AUTH CCC CDUP CONF CWD DELE ENC EPRT EPSV FEAT HELP HOST LANG LIST LPRT LPSV
		MDTM MIC MKD MLSD MLST MODE NLST NOOP OPTS PASS PASV PBSZ PORT PROT PWD QUIT REIN REST RETR RMD RNFR RNTO
		SITE SIZE SMNT STAT STOR STOU STRU SYST TYPE USER XCUP XCWD XMKD XPWD XRMD
		AVBL CLNT COMB CPSV CSID DSIZ ESTA ESTP HASH MACB MFCT MFF MFMT MLFL MAIL MSND MSOM MSAM MRSQ MRCP RANG RMDA
		PRET SPSV SSCN THMB XCRC XMD5 XSHA XSHA1 XSHA256 XSHA512 MD5 MMD5 XRCP XRSQ XSEM XSEN`)
}

// longestUser bounds a pattern for login names, in bytes.
const longestUser = 255

// users is a list of patterns for login names.
func users(at *[]string) kind {
	const cure = "write a login name, in which * stands for any characters"
	return names(at, mostUsers, "", cure, func(v value, name string) string {
		switch {
		case len(name) > longestUser:
			v.fail("longer than 255 bytes", cure)
		case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
			v.fail("holds a character that cannot be printed", cure)
		}
		return name
	})
}
