package ftp

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// wire is a net.Conn that gives its input in the given pieces, one per Read, and keeps what is written.
type wire struct {
	pieces [][]byte
	sent   bytes.Buffer
}

func (w *wire) Read(p []byte) (int, error) {
	if len(w.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, w.pieces[0])
	if w.pieces[0] = w.pieces[0][n:]; len(w.pieces[0]) == 0 {
		w.pieces = w.pieces[1:]
	}
	return n, nil
}

func (w *wire) Write(p []byte) (int, error)      { return w.sent.Write(p) }
func (w *wire) Close() error                     { return nil }
func (w *wire) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (w *wire) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// cut makes pieces of at most size bytes.
func cut(input string, size int) [][]byte {
	var pieces [][]byte
	for len(input) > 0 {
		n := min(size, len(input))
		pieces = append(pieces, []byte(input[:n]))
		input = input[n:]
	}
	return pieces
}

// segmentations are the piece lengths that every dialogue is tried with.
var segmentations = []int{1, 2, 3, 7, 1 << 20}

// tcpPair returns two ends of a TCP connection.
func tcpPair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	far, err = net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err = listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}
