package ftp

import "bytes"

// Command is one line of a client, read but not judged. Its slices belong to the Conn that read it and are valid until the
// next read there.
type Command struct {
	Verb string // upper case
	Arg  []byte // what follows the verb and one space, untouched: "CWD  a " has " a "
	Line []byte // the line as it goes on: case, spaces, doubled IAC and CR NUL kept, without its end
}

// Bytes returns the line with its end, to be written as one piece. It does not copy a command that a Conn read, and is
// valid as long as the command.
func (c Command) Bytes() []byte { return append(c.Line, "\r\n"...) }

// ParseCommand reads a line without its end, from which Telnet commands have been removed:
//
//	verb [SP argument]        verb = ALPHA *15(ALPHA / DIGIT)
//
// The argument is any bytes (RFC 2640) but LF, CR before anything but NUL, and NUL behind anything but CR (RFC 854).
// It fails with ErrEmptyLine or a *SyntaxError.
func ParseCommand(line []byte) (Command, error) {
	if len(line) == 0 {
		return Command{}, ErrEmptyLine
	}
	if !clean(line) {
		err := notUnderstood("a lone CR, NUL or LF: " + Redact("", line))
		err.unclean = true
		return Command{}, err
	}
	end := 0
	for end < len(line) && isAlphanumeric(line[end]) {
		end++
	}
	if end < len(line) && line[end] != ' ' || end == 0 || end > maxVerb || !isLetter(line[0]) {
		return Command{}, badVerb(line)
	}
	command := Command{Verb: verb(line[:end]), Line: line[:len(line):len(line)]}
	if end < len(line) {
		command.Arg = command.Line[end+1:]
	}
	if _, foreign := foreignVerbs[command.Verb]; foreign || isRequestLine(line) {
		return Command{}, anotherProtocol(line)
	}
	return command, nil
}

// verb returns the upper-case form of a name of at most maxVerb bytes.
func verb(name []byte) string {
	var folded [maxVerb]byte
	for i, b := range name {
		folded[i] = upper(b)
	}
	if known, ok := knownVerbs[string(folded[:len(name)])]; ok {
		return known
	}
	return string(folded[:len(name)])
}

// badVerb tells a header line of HTTP or mail ("Host: a") from a mere mistake.
func badVerb(line []byte) error {
	name := bytes.TrimLeftFunc(line, func(r rune) bool {
		return r == '-' || r < 0x80 && isAlphanumeric(byte(r))
	})
	if len(name) < len(line) && len(name) > 0 && name[0] == ':' {
		return anotherProtocol(line)
	}
	return notUnderstood("no verb at the beginning of the line: " + Redact("", line))
}

// isRequestLine says whether the line is "x y HTTP/1.1", whatever x is: a browser may be told any method.
func isRequestLine(line []byte) bool {
	space := bytes.LastIndexByte(line, ' ')
	if space < 0 || bytes.Count(line, []byte{' '}) != 2 {
		return false
	}
	name, version, slash := bytes.Cut(line[space+1:], []byte{'/'})
	return slash && bytes.EqualFold(name, []byte("HTTP")) && (isVersion(version) || isNumber(version))
}

// isVersion says whether text is DIGIT "." DIGIT.
func isVersion(text []byte) bool {
	return len(text) == 3 && isDigit(text[0]) && text[1] == '.' && isDigit(text[2])
}

func anotherProtocol(line []byte) error {
	return &SyntaxError{
		Code: 501, Say: "This is an FTP service, closing the control connection.", Fatal: true,
		Why: "another protocol: " + Redact("", line),
	}
}

// clean says whether a line holds no LF, and CR and NUL only as CR NUL.
func clean(line []byte) bool {
	if bytes.IndexByte(line, '\n') >= 0 {
		return false
	}
	if bytes.IndexByte(line, '\r') < 0 && bytes.IndexByte(line, 0) < 0 {
		return true
	}
	afterCR := false
	for _, b := range line {
		if afterCR != (b == 0) {
			return false
		}
		afterCR = b == '\r'
	}
	return !afterCR
}

func isLetter(b byte) bool       { return 'A' <= upper(b) && upper(b) <= 'Z' }
func isDigit(b byte) bool        { return '0' <= b && b <= '9' }
func isAlphanumeric(b byte) bool { return isLetter(b) || isDigit(b) }

func upper(b byte) byte {
	if 'a' <= b && b <= 'z' {
		return b - ('a' - 'A')
	}
	return b
}
