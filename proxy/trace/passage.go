package trace

import (
	"slices"
	"time"
)

// kind groups verbs and replies that may stand for each other on the two sides of a gateway.
type kind int

const (
	kindOther    kind = iota
	kindActive        // PORT, EPRT
	kindPassive       // PASV, EPSV; 227, 229
	kindTransfer      // what has a data connection
)

func kindOfCommand(verb string) kind {
	switch verb {
	case "PORT", "EPRT":
		return kindActive
	case "PASV", "EPSV":
		return kindPassive
	case "RETR", "STOR", "STOU", "APPE", "LIST", "NLST", "MLSD":
		return kindTransfer
	}
	return kindOther
}

func kindOfReply(code int) kind {
	if code == 227 || code == 229 {
		return kindPassive
	}
	return kindOther
}

// passage is what one side has said and the other one has not got yet.
type passage struct{ lines []utterance }

// utterance is a command or a reply.
type utterance struct {
	text    string
	kind    kind
	time    time.Time
	command command
	reply   reply
}

func (p *passage) said(u utterance) {
	if len(p.lines) == maxPending {
		p.lines = slices.Delete(p.lines, 0, 1)
	}
	p.lines = append(p.lines, u)
}

// heard finds what was said in what was heard, word by word or as something of that kind in its place, and forgets what was
// said before.
func (p *passage) heard(text string, k kind) (u utterance, exact, found bool) {
	at := slices.IndexFunc(p.lines, func(u utterance) bool { return u.text == text })
	if exact = at >= 0; !exact {
		at = slices.IndexFunc(p.lines, func(u utterance) bool {
			return u.kind == k && k != kindOther || (k == kindActive || k == kindPassive) && (u.kind == kindActive || u.kind == kindPassive)
		})
	}
	if at < 0 {
		return u, false, false
	}
	u = p.lines[at]
	p.lines = slices.Delete(p.lines, 0, at+1)
	return u, exact, true
}

// has says whether that line was said and not heard.
func (p *passage) has(text string) bool {
	return slices.ContainsFunc(p.lines, func(u utterance) bool { return u.text == text })
}
