package ftp

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

// TestAwaitLeavesTheError: what ended a connection is told by the read, whether
// or not something has waited before.
func TestAwaitLeavesTheError(t *testing.T) {
	for _, await := range []bool{false, true} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		far, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		near, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer near.Close()
		conn := NewConn(near, Limits{})
		time.AfterFunc(50*time.Millisecond, func() {
			far.(*net.TCPConn).SetLinger(0) // close becomes a reset
			far.Close()
		})
		if await {
			conn.Await()
		}
		if _, err := conn.ReadCommand(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("awaited %t: %v", await, err)
		}
	}
}
