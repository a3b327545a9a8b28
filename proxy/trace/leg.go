package trace

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ftpgate/ftpgate/proxy/ftp"
)

// tuple is one connection on one interface, as whoever opened it sees it.
type tuple struct {
	on             string
	client, server netip.AddrPort
}

func (t tuple) String() string {
	return fmt.Sprintf("%s → %s%s", t.client, t.server, onInterface(t.on))
}

func onInterface(name string) string {
	if name == "" {
		return ""
	}
	return " (" + ftp.Quote([]byte(name)) + ")"
}

// leg is one control connection as it is seen on one interface.
type leg struct {
	tuple
	handshake
	session *session // nil: it is not known yet whose it is, and what it has to tell is held
	held    []func()
	shadow  bool // the same as another leg, on an interface that tells nothing new: it is not told of

	up, down half // what the client says, what the server says
	reply    replyReader
	greeted  time.Time           // when; zero: not yet
	replies  []utterance         // of a leg that belongs to nobody yet
	suspects map[*session]*rival // whose it may be
	doubt    int                 // how many other sessions it may be of just as well
	ended    time.Time
	last     time.Time
	lastSeg  [2]signature // of the last segment with bytes, up and down

	announced []netip.AddrPort // where data connections go, of a leg that belongs to nobody yet
	dialled   []dialled        // those that went there
}

// signature tells a segment that is forwarded from others.
type signature struct {
	seq, ack uint32
	size     int
	time     time.Time
}

// maxHeld bounds what is held of a leg that belongs to nobody yet.
const maxHeld = 64

// tell does something with the leg's session, later if it is not known yet. note is for the packet in that case.
func (l *leg) tell(f *Follower, note string, what func()) {
	switch {
	case l.shadow:
	case l.session != nil:
		what()
	case len(l.held) < maxHeld:
		f.note(note)
		at := f.now
		l.held = append(l.held, func() { f.then(at, what) })
	}
}

// belongs gives the leg to a session, which hears what was held.
func (l *leg) belongs(s *session) {
	l.session = s
	held := l.held
	l.held, l.announced, l.dialled = nil, nil, nil
	for _, what := range held {
		what()
	}
}

// handshake is how a connection comes about.
type handshake struct {
	seen     bool // its SYN
	isn      uint32
	syns     int
	first    time.Time // SYN
	latest   time.Time // SYN
	answered time.Time // SYN and ACK
	refused  string    // by whom and how; "": not
	told     bool      // that nobody answers
}

// syn takes a SYN, and says whether it is a first one.
func (h *handshake) syn(s *Segment) bool {
	if h.seen && h.isn == s.Seq {
		h.syns++
		h.latest = s.Time
		return false
	}
	*h = handshake{seen: true, isn: s.Seq, syns: 1, first: s.Time, latest: s.Time}
	return true
}

func (h *handshake) waiting() bool { return h.seen && h.answered.IsZero() && h.refused == "" }

// replyReader puts lines of a server together.
type replyReader struct {
	code  string // of a reply that has not ended, with its hyphen: "211-"
	first string
	lines int
	text  strings.Builder // all of it, as far as it is kept
}

// reply is a server's reply.
type reply struct {
	code  int // 0: the line has none
	first string
	last  string // the final line
	lines int
	text  string // all lines, to compare
}

// maxReply is how much of a reply is kept to be compared, in bytes.
const maxReply = 4 << 10

// add takes a line, and returns the reply with its last one.
func (r *replyReader) add(line string) (whole reply, done bool) {
	if r.code == "" && line == "" {
		return reply{}, false
	}
	if r.lines == 0 {
		r.first = line
	}
	r.lines++
	if r.text.Len() < maxReply {
		r.text.WriteString(line)
		r.text.WriteByte('\n')
	}
	isCode := len(line) >= 3 && digits(line[:3])
	switch {
	case r.code == "" && isCode && len(line) > 3 && line[3] == '-':
		r.code = line[:3]
		return reply{}, false
	case r.code != "" && !(isCode && line[:3] == r.code && (len(line) == 3 || line[3] == ' ')) && r.lines < ftp.DefaultReplyLines:
		return reply{}, false
	}
	whole = reply{first: r.first, last: line, lines: r.lines, text: r.text.String()}
	if isCode {
		whole.code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	}
	*r = replyReader{}
	return whole, true
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }

func (r reply) String() string {
	if r.lines > 1 {
		return fmt.Sprintf("%s … (%d lines)", ftp.Quote([]byte(r.first)), r.lines)
	}
	return ftp.Quote([]byte(r.last))
}

// words is the text of the final line behind its code.
func (r reply) words() []byte {
	if len(r.last) < 4 {
		return nil
	}
	return []byte(r.last[4:])
}

// command is a line of a client.
type command struct {
	verb string // "" if there is none
	arg  []byte
	line string // secrets and all: it is not shown
}

func readCommand(line string) command {
	c, err := ftp.ParseCommand([]byte(line))
	if err != nil {
		return command{line: line}
	}
	return command{verb: c.Verb, arg: c.Arg, line: line}
}

// String is the line as it may be shown.
func (c command) String() string { return ftp.Redact(c.verb, []byte(c.line)) }
