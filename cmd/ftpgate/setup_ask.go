package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/ftpgate/ftpgate/cmd/ftpgate/setup"
)

// interview asks whoever sits at the terminal. A nil one has nobody to ask: what
// was not said stays unsaid, and what is to be done is done.
type interview struct {
	in  *bufio.Reader
	out io.Writer
}

// interview is nil where nobody can answer, or has said --yes. The questions do
// not go where the configuration of a dry run goes.
func (f *setupFlags) interview(in io.Reader, out io.Writer) *interview {
	if file, ok := in.(*os.File); f.yes || !ok || !isTerminal(file) {
		return nil
	}
	return &interview{bufio.NewReader(in), out}
}

// errUnanswered is the end of the terminal.
var errUnanswered = runError{errors.New("nothing was answered, nothing was written")}

func (i *interview) ask(question string) (string, error) {
	fmt.Fprint(i.out, question+" ")
	line, err := i.in.ReadString('\n')
	if err != nil {
		fmt.Fprintln(i.out)
		return "", errUnanswered
	}
	return strings.TrimSpace(line), nil
}

// sides completes what was said, with the help of who answers.
func (i *interview) sides(said setup.Sides, host []setup.Interface) (setup.Sides, error) {
	for {
		complete, err := setup.Complete(said, host)
		var unclear *setup.Unclear
		switch {
		case err == nil:
			return complete, nil
		case i == nil || !errors.As(err, &unclear):
			return said, usageError{err}
		}
		fmt.Fprintf(i.out, "%s:%s\n", unclear.Why, unclear.Listed)
		question := "Which is on the Internet side (WAN)?"
		if unclear.Side == setup.LAN {
			question = "Which is on the trusted side (LAN)?"
		}
		for answered := false; !answered; {
			text, err := i.ask(question)
			if err != nil {
				return said, err
			}
			if said, err = unclear.Answer(said, text, host); err != nil {
				fmt.Fprintln(i.out, err)
			}
			answered = err == nil
		}
	}
}

// servers asks for a server that is to be published.
func (i *interview) servers() ([]netip.AddrPort, error) {
	for i != nil {
		text, err := i.ask("Address of an FTP server on the LAN for clients outside (Enter: none):")
		if err != nil {
			return nil, err
		}
		servers, err := serversOf(strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }))
		if err == nil {
			return servers, nil
		}
		fmt.Fprintln(i.out, err)
	}
	return nil, nil
}

// confirmed asks; no answer is no.
func (i *interview) confirmed(question string) bool {
	if i == nil {
		return true
	}
	text, err := i.ask(question + " [Y/n]")
	if err != nil {
		return false
	}
	switch strings.ToLower(text) {
	case "", "y", "yes":
		return true
	}
	return false
}
