package ftp

import (
	"bytes"
	"testing"
)

// loop is a connection whose peer says the same thing again and again.
type loop struct {
	wire
	text []byte
}

func (l *loop) Read(p []byte) (int, error) { return copy(p, l.text), nil }

const (
	someCommands = "CWD pub\r\nPASV\r\nRETR file.bin\r\n"
	someReplies  = "250 CWD successful\r\n227 Entering Passive Mode (198,51,100,7,195,149).\r\n211-Features:\r\n EPSV\r\n211 End\r\n"
)

func BenchmarkReadCommand(b *testing.B) {
	conn := NewConn(&loop{text: []byte(someCommands)}, Limits{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.ReadCommand(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadReply(b *testing.B) {
	conn := NewConn(&loop{text: []byte(someReplies)}, Limits{})
	var reply Reply
	b.ReportAllocs()
	for b.Loop() {
		if err := conn.ReadReply(&reply); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRoundTrip is a command and its reply over TCP, with the system calls.
func BenchmarkRoundTrip(b *testing.B) {
	near, far := tcpPair(b)
	client, server := NewConn(far, Limits{}), NewConn(near, Limits{})
	command, answer := []byte("NOOP\r\n"), []byte("200 ok\r\n")
	var reply Reply
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Write(command); err != nil {
			b.Fatal(err)
		}
		if _, err := server.ReadCommand(); err != nil {
			b.Fatal(err)
		}
		if _, err := server.Write(answer); err != nil {
			b.Fatal(err)
		}
		if err := client.ReadReply(&reply); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPort(b *testing.B) {
	arg := []byte("192,168,1,10,24,131")
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		hostPort, err := ParsePort(arg)
		if err != nil {
			b.Fatal(err)
		}
		out = AppendPort(out[:0], hostPort)
	}
	if !bytes.Equal(out, arg) {
		b.Fatal(string(out))
	}
}
