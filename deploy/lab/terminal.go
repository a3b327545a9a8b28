package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// conversationTime bounds each wait for a question, and for the end.
const conversationTime = 60 * time.Second

// Answer is what somebody types who has read Question.
type Answer struct{ Question, Text string }

// Converse runs a program on a terminal of its own and answers it, each question in its turn. It returns what the terminal
// has shown, which holds the answers as well. An answer whose question did not come is an error.
func Converse(cmd *exec.Cmd, answers ...Answer) (shown string, err error) {
	keyboard, line, err := openTerminal()
	if err != nil {
		return "", err
	}
	defer keyboard.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = line, line, line
	err = cmd.Start()
	line.Close()
	if err != nil {
		return "", err
	}
	text := make(chan []byte)
	go func() {
		defer close(text)
		for {
			piece := make([]byte, 4096)
			n, err := keyboard.Read(piece)
			if n > 0 {
				text <- piece[:n]
			}
			if err != nil { // EIO: the program has closed its end
				return
			}
		}
	}()
	var all bytes.Buffer
	seen := 0
	late := time.NewTimer(conversationTime)
	defer late.Stop()
	for open := true; open; {
		for len(answers) > 0 {
			at := strings.Index(all.String()[seen:], answers[0].Question)
			if at < 0 {
				break
			}
			seen += at + len(answers[0].Question)
			if _, err := keyboard.WriteString(answers[0].Text + "\n"); err != nil {
				break
			}
			answers = answers[1:]
		}
		select {
		case piece, more := <-text:
			all.Write(piece)
			open = more
		case <-late.C:
			cmd.Process.Kill()
			err = fmt.Errorf("it did not end within %s", conversationTime)
			go func() {
				for range text {
				}
			}()
			open = false
		}
	}
	err = errors.Join(err, cmd.Wait())
	if len(answers) > 0 {
		err = errors.Join(err, fmt.Errorf("it has not asked %q", answers[0].Question))
	}
	return strings.ReplaceAll(all.String(), "\r\n", "\n"), err
}

// openTerminal makes a pseudoterminal (pts(4)): the end with the keyboard, and the one of the program.
func openTerminal() (keyboard, line *os.File, err error) {
	keyboard, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a terminal: %w", err)
	}
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		line, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		keyboard.Close()
		return nil, nil, fmt.Errorf("making a terminal: %w", err)
	}
	return keyboard, line, nil
}
