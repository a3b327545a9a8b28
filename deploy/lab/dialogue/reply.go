package dialogue

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxReply bounds a reply, in bytes.
const maxReply = 1 << 20

// Reply is one reply of a server, of one line or several (RFC 959, 4.2).
type Reply struct {
	Code  int
	Lines []string // all of them, without their ends
}

// Text is the reply's last line without its code.
func (r Reply) Text() string {
	if len(r.Lines) == 0 {
		return ""
	}
	return strings.TrimPrefix(r.Lines[len(r.Lines)-1][3:], " ")
}

func (r Reply) String() string { return strings.Join(r.Lines, "\n") }

// Unexpected is the error of a reply that was not the wanted one.
type Unexpected struct {
	Want  int
	To    string // what it replies to
	Reply Reply
}

func (e *Unexpected) Error() string {
	return fmt.Sprintf("the reply to %q is not %d but %q", e.To, e.Want, e.Reply)
}

// want is nil if the reply has the code, or begins with its digits.
func (r Reply) want(code int, to string) error {
	if strings.HasPrefix(strconv.Itoa(r.Code), strconv.Itoa(code)) {
		return nil
	}
	return &Unexpected{Want: code, To: concealed(to), Reply: r}
}

// Read reads the next reply.
func (c *Client) Read() (Reply, error) { return c.ReadWithin(c.options.Timeout) }

// ReadWithin reads the next reply within a time of its own: for what takes longer than a command, or for a reply that
// is not to come.
func (c *Client) ReadWithin(timeout time.Duration) (Reply, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return Reply{}, err
	}
	var reply Reply
	for size := 0; size < maxReply; {
		line, err := c.reader.ReadString('\n')
		if err != nil {
			return reply, fmt.Errorf("reading a reply: %w", err)
		}
		size += len(line)
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		c.record("< " + line)
		reply.Lines = append(reply.Lines, line)
		last, err := reply.take(line)
		if last || err != nil {
			return reply, err
		}
	}
	return reply, errors.New("reading a reply: it has no end")
}

// take looks at a line that was added, and says whether it is the reply's last.
func (r *Reply) take(line string) (last bool, err error) {
	code, err := strconv.ParseUint(line[:min(3, len(line))], 10, 16)
	well := err == nil && len(line) >= 3 && code >= 100 && code <= 599
	if len(r.Lines) > 1 { // the lines between are anything; the last has the first one's code, and a space or nothing
		return well && int(code) == r.Code && !strings.HasPrefix(line[3:], "-"), nil
	}
	if !well {
		return false, fmt.Errorf("reading a reply: %q does not begin with a code", line)
	}
	r.Code = int(code)
	return !strings.HasPrefix(line[3:], "-"), nil
}
