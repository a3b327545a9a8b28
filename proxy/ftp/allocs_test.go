//go:build !race

// The race detector allocates on its own and makes sync.Pool forget at random.

package ftp

import (
	"fmt"
	"testing"
)

func TestReadingDoesNotAllocate(t *testing.T) {
	commands := NewConn(&loop{text: []byte(someCommands)}, Limits{})
	replies := NewConn(&loop{text: []byte(someReplies)}, Limits{})
	near, far := tcpPair(t)
	client, server := NewConn(far, Limits{}), NewConn(near, Limits{})
	line, answer, port := []byte("NOOP\r\n"), []byte("220-a\r\n220 ok\r\n"), []byte("192,168,1,10,24,131")
	passive, extended := []byte("Entering (198,51,100,7,195,149)."), []byte("Entering (|||6446|)")
	var reply Reply
	var out [128]byte
	for name, step := range map[string]func() error{
		"ReadCommand": func() error {
			command, err := commands.ReadCommand()
			if got := command.Bytes(); len(got) < 6 {
				return fmt.Errorf("read %q", got)
			}
			return err
		},
		"ReadReply": func() error {
			err := replies.ReadReply(&reply)
			for line := range reply.Lines() {
				if len(line) == 0 {
					return fmt.Errorf("read %q", reply.Bytes())
				}
			}
			return err
		},
		"TCP": func() error {
			if _, err := client.Write(line); err != nil {
				return err
			}
			if _, err := server.ReadCommand(); err != nil {
				return err
			}
			if _, err := server.Write(answer); err != nil {
				return err
			}
			return client.ReadReply(&reply)
		},
		"codecs": func() error {
			hostPort, err := ParsePort(port)
			if err != nil {
				return err
			}
			AppendPort(out[:0], hostPort)
			AppendExtendedPort(out[:0], hostPort)
			if _, err := FindPassive(passive); err != nil {
				return err
			}
			_, err = FindExtendedPassive(extended)
			return err
		},
	} {
		if allocs := testing.AllocsPerRun(300, func() {
			if err := step(); err != nil {
				t.Fatal(name, err)
			}
		}); allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}
