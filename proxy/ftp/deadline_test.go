package ftp

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// duration reads once and says how long that took.
func duration(read func() error) (time.Duration, error) {
	begin := time.Now()
	err := read()
	return time.Since(begin), err
}

func pipe(t *testing.T) (*Conn, net.Conn) {
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close(); far.Close() })
	return NewConn(near, Limits{}), far
}

func send(t *testing.T, to net.Conn, text string) {
	t.Helper()
	if _, err := to.Write([]byte(text)); err != nil {
		t.Error(err)
	}
}

func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := pipe(t)
		readCommand := func() error { _, err := conn.ReadCommand(); return err }

		conn.SetIdle(time.Now().Add(time.Minute))
		if took, err := duration(readCommand); took != time.Minute || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("idle: %v after %v", err, took)
		}

		// A line that has begun has LineTimeout, however often a byte comes and whatever the idle deadline.
		go func() {
			for range 100 {
				if _, err := far.Write([]byte("A")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		conn.SetIdle(time.Now().Add(time.Second))
		if took, err := duration(readCommand); took != LineTimeout || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("slow line: %v after %v", err, took)
		}
		far.Close()
		time.Sleep(2 * time.Second) // the writer sees it
	})
}

func TestIdleReturnsAfterLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := pipe(t)
		go func() {
			send(t, far, "NO")
			time.Sleep(LineTimeout - time.Second)
			send(t, far, "OP\r\n")
		}()
		conn.SetIdle(time.Now().Add(time.Hour))
		if _, err := conn.ReadCommand(); err != nil {
			t.Fatal(err)
		}
		took, err := duration(func() error { _, err := conn.ReadCommand(); return err })
		if took != time.Hour-LineTimeout+time.Second || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v after %v", err, took)
		}
	})
}

// A past deadline ends a read at once, also inside a line, and the line is continued afterwards.
func TestCancelInsideLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := pipe(t)
		go func() {
			send(t, far, "NO")
			time.Sleep(time.Second)
			conn.SetIdle(time.Unix(1, 0))
		}()
		took, err := duration(func() error { _, err := conn.ReadCommand(); return err })
		if took != time.Second || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v after %v", err, took)
		}
		conn.SetIdle(time.Time{})
		go send(t, far, "OP\r\n")
		if command, err := conn.ReadCommand(); err != nil || command.Verb != "NOOP" {
			t.Errorf("%q, %v", command.Verb, err)
		}
	})
}

func TestReplyTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := pipe(t)
		go func() {
			send(t, far, "211-a\r\n")
			time.Sleep(ReplyTimeout - time.Second)
			send(t, far, " b\r\n")
		}()
		var reply Reply
		took, err := duration(func() error { return conn.ReadReply(&reply) })
		if took != 2*ReplyTimeout-time.Second || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v after %v", err, took)
		}
	})
}

func TestReplyGoesOnAfterCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := pipe(t)
		go func() {
			send(t, far, "211-a\r\n ")
			conn.SetIdle(time.Unix(1, 0))
		}()
		var reply Reply
		if err := conn.ReadReply(&reply); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		conn.SetIdle(time.Time{})
		go send(t, far, "b\r\n211 c\r\n")
		if err := conn.ReadReply(&reply); err != nil || string(reply.Bytes()) != "211-a\r\n b\r\n211 c\r\n" {
			t.Errorf("%q, %v", reply.Bytes(), err)
		}
	})
}

func TestWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _ := pipe(t)
		took, err := duration(func() error { _, err := conn.Write([]byte("200 ok\r\n")); return err })
		if took != WriteTimeout || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v after %v", err, took)
		}
	})
}

// Over TCP an idle connection holds no memory: before, between and after lines.
func TestIdleHoldsNothing(t *testing.T) {
	near, far := tcpPair(t)
	conn := NewConn(near, Limits{})
	idle := func() {
		t.Helper()
		conn.SetIdle(time.Now().Add(20 * time.Millisecond))
		if _, err := conn.ReadCommand(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		if conn.lines.block != nil || conn.reply != nil {
			t.Error("memory held while idle")
		}
		conn.SetIdle(time.Time{})
	}
	idle()
	send(t, far, "NOOP\r\n\xff\xf1QUIT\r\n\xff\xf1")
	for _, want := range []string{"NOOP", "QUIT"} {
		if command, err := conn.ReadCommand(); err != nil || command.Verb != want {
			t.Fatal(command.Verb, err)
		}
	}
	idle()
	var reply Reply
	send(t, far, "220-a\r\n220 b\r\n")
	if err := conn.ReadReply(&reply); err != nil {
		t.Fatal(err)
	}
	conn.Release()
	idle()
	send(t, far, "220-a\r\n220 b\r\n200 c\r\n")
	for range 2 {
		if err := conn.ReadReply(&reply); err != nil {
			t.Fatal(err)
		}
	}
	idle()
}

// Replies are written and the idle time is moved while a command is being read.
func TestUseFromSeveralGoroutines(t *testing.T) {
	near, far := tcpPair(t)
	conn, client := NewConn(near, Limits{}), NewConn(far, Limits{})
	const rounds = 200
	go func() {
		for range rounds {
			conn.SetIdle(time.Now().Add(time.Minute))
			if _, err := conn.Write([]byte("200 ok\r\n")); err != nil {
				t.Error(err)
			}
		}
	}()
	go func() {
		for range rounds {
			send(t, far, "\xff\xfe\x01NO")
			send(t, far, "OP\r\n")
		}
	}()
	var reply Reply
	for range rounds {
		if command, err := conn.ReadCommand(); err != nil || command.Verb != "NOOP" {
			t.Fatal(command.Verb, err)
		}
		if err := client.ReadReply(&reply); err != nil || reply.Code != 200 {
			t.Fatal(reply.Code, err)
		}
	}
	if conn.NetConn() != near {
		t.Error("another connection")
	}
}

func TestErrorsOfTheConnection(t *testing.T) {
	near, far := tcpPair(t)
	conn := NewConn(near, Limits{})
	send(t, far, "NOOP\r\nNO")
	far.Close()
	if _, err := conn.ReadCommand(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ReadCommand(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	near.Close()
	if _, err := conn.ReadCommand(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}

	near, far = tcpPair(t)
	send(t, far, "\xff\xfb\x01NOOP\r\n")
	if err := near.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := NewConn(near, Limits{}).ReadCommand(); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("refusing an option: %v", err)
	}

	near, far = tcpPair(t)
	if err := far.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	far.Close()
	_, err := NewConn(near, Limits{}).ReadCommand()
	var network *net.OpError
	if !errors.As(err, &network) || errors.Is(err, io.EOF) {
		t.Errorf("reset: %v", err)
	}
}
