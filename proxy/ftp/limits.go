package ftp

import "time"

// Defaults of [Limits].
const (
	// DefaultLine is the longest command line in bytes without its end. Servers read between 500 and 4,112 bytes
	// (FileZilla Server and vsftpd 4,096, Pure-FTPd PATH_MAX+16), so no path that a server accepts is lost.
	DefaultLine = 4096
	// DefaultReplyLine is the longest line of a reply in bytes: a PATH_MAX path with the facts of MLST around it.
	DefaultReplyLine = 6 << 10
	// DefaultReply is the longest reply in bytes, line ends included. curl buffers as much.
	DefaultReply = 64 << 10
	// DefaultReplyLines is the largest number of lines of one reply.
	DefaultReplyLines = 512
)

// MaxLine is the longest line that any Limits can admit, for commands and replies alike: a line is read into one block.
const MaxLine = blockSize - 2*minRead

// Waits of a Conn. The wait between lines is the caller's: [Conn.SetIdle].
const (
	// LineTimeout is how long a line may take from its first byte that had to be waited for to its end.
	LineTimeout = 30 * time.Second
	// ReplyTimeout is how long each further line of a multi-line reply may take: longer than LineTimeout, because
	// servers compute some replies line by line (STAT of a directory, SITE EXEC).
	ReplyTimeout = 2 * time.Minute
	// WriteTimeout is how long a peer may take to accept what is written to it. Control lines are short: a peer that
	// leaves them in the socket buffer for so long reads no more.
	WriteTimeout = 30 * time.Second
)

// Bounds that no setting moves.
const (
	// MaxOffences is the number of overlong or unclean lines (a lone CR or NUL) at which the connection ends.
	MaxOffences = 3
	// MaxTelnetAnswers is the number of Telnet options refused per connection. FTP needs none (RFC 1123 §4.1.2.12).
	MaxTelnetAnswers = 16
	// maxTelnetRemoved is the number of Telnet commands taken out since the last line end. ABOR needs two (IP, DM), but
	// a client may keep a long transfer's connection alive by a NOP each half minute.
	maxTelnetRemoved = 1024
	// maxSubnegotiation is the length in bytes of one Telnet subnegotiation.
	maxSubnegotiation = 256
	// maxVerb is the length of a verb. RFC 959 has four letters; XSHA256 and its like are real.
	maxVerb = 16
	// maxQuoted is the length in bytes of a line in a log.
	maxQuoted = 256
)

// Limits bounds what a Conn reads. A field that is zero has its default; a line limit above MaxLine is MaxLine.
type Limits struct {
	Line       int // bytes of a command line
	ReplyLine  int // bytes of one line of a reply
	Reply      int // bytes of a reply
	ReplyLines int // lines of a reply
}

// withDefaults fills in what is zero.
func (l Limits) withDefaults() Limits {
	fill := func(field *int, value int) {
		if *field <= 0 {
			*field = value
		}
	}
	fill(&l.Line, DefaultLine)
	fill(&l.ReplyLine, DefaultReplyLine)
	fill(&l.Reply, DefaultReply)
	fill(&l.ReplyLines, DefaultReplyLines)
	l.Line = min(l.Line, MaxLine)
	l.ReplyLine = min(l.ReplyLine, MaxLine)
	return l
}
