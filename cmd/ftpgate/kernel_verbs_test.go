//go:build kernel

package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// TestTransferVerbs: what a data connection may be for beside RETR, STOR and
// LIST; a restart in the middle; a file of no bytes.
func TestTransferVerbs(t *testing.T) {
	eachServer(t, peers.ServerOptions{Passive: passiveRange}, plain, func(t *testing.T, r *router, outside, inside *peers.Server) {
		for _, w := range usualWays(outside, inside) {
			t.Run(w.name, func(t *testing.T) {
				for _, mode := range w.modes() {
					// A session for each mode, since Pure-FTPd takes APPE for STOR after a STOU.
					c := login(t, r.Host(w.from), w.dials, dialogue.Options{})
					s := &scribe{t: t, c: c, mode: mode, server: w.server}
					s.restart()
					s.empty()
					s.add()
					s.unique()
					s.lists()
					r.quit(t, c)
				}
			})
		}
	})
}

// scribe says the verbs in one mode.
type scribe struct {
	t      *testing.T
	c      *dialogue.Client
	mode   dialogue.Mode
	server *peers.Server
}

func (s *scribe) fatal(doing string, err error) {
	s.t.Helper()
	s.t.Fatalf("%s, %s: %v\n%s", s.mode, doing, err, strings.Join(s.c.Transcript(), "\n"))
}

func (s *scribe) put(name string, content []byte) {
	s.t.Helper()
	if err := s.server.WriteFile(name, content); err != nil {
		s.t.Fatal(err)
	}
}

// holds compares a file at the server.
func (s *scribe) holds(name string, want []byte) {
	s.t.Helper()
	if got, err := s.server.ReadFile(name); err != nil || !bytes.Equal(got, want) {
		s.t.Errorf("%s: %s at the server has %d bytes instead of %d, or others: %v", s.mode, name, len(got), len(want), err)
	}
}

// restart begins at a byte that was asked for, in both directions.
func (s *scribe) restart() {
	s.t.Helper()
	content := random(50_000)
	s.put("restart.bin", content)
	if _, err := s.c.Want(350, "REST 20000"); err != nil {
		s.fatal("REST", err)
	}
	var got bytes.Buffer
	if _, err := s.c.Retrieve(s.mode, "restart.bin", &got); err != nil || !bytes.Equal(got.Bytes(), content[20_000:]) {
		s.fatal("the rest of a download", fmt.Errorf("%d bytes: %w", got.Len(), err))
	}
	s.put("restart.bin", content[:20_000])
	if _, err := s.c.Want(350, "REST 20000"); err != nil {
		s.fatal("REST", err)
	}
	if _, err := s.c.Store(s.mode, "restart.bin", bytes.NewReader(content[20_000:])); err != nil {
		s.fatal("the rest of an upload", err)
	}
	s.holds("restart.bin", content)
}

// empty moves nothing: the data connection begins and ends.
func (s *scribe) empty() {
	s.t.Helper()
	s.put("empty.bin", nil)
	var got bytes.Buffer
	if _, err := s.c.Retrieve(s.mode, "empty.bin", &got); err != nil || got.Len() != 0 {
		s.fatal("download of no bytes", fmt.Errorf("%d bytes: %w", got.Len(), err))
	}
	s.put("emptied.bin", []byte("not empty"))
	if _, err := s.c.Store(s.mode, "emptied.bin", strings.NewReader("")); err != nil {
		s.fatal("upload of no bytes", err)
	}
	s.holds("emptied.bin", nil)
}

// add is APPE.
func (s *scribe) add() {
	s.t.Helper()
	s.put("log.txt", []byte("one\n"))
	if _, err := s.c.Transfer(s.mode, "APPE log.txt", sending("two\n")); err != nil {
		s.fatal("APPE", err)
	}
	s.holds("log.txt", []byte("one\ntwo\n"))
}

// unique is STOU: the server tells the name, in the preliminary reply (RFC 1123,
// 4.1.2.9) or in the last one. Pure-FTPd makes it of the second and one random byte, and
// stores elsewhere if that is taken, without telling; so the file does not stay.
func (s *scribe) unique() {
	s.t.Helper()
	text := fmt.Sprintf("unique %x", random(8))
	transfer, err := s.c.Transfer(s.mode, "STOU", sending(text))
	if err != nil {
		s.fatal("STOU", err)
	}
	said := transfer.Began.String() + " " + transfer.Ended.String()
	named := slices.ContainsFunc(strings.Fields(said), func(word string) bool {
		name := strings.Trim(word, `"'().,`)
		got, err := s.server.ReadFile(name)
		return err == nil && string(got) == text && s.server.RemoveFile(name) == nil
	})
	if !named {
		s.t.Errorf("%s: no file that is named in %q has what was sent", s.mode, said)
	}
}

// lists are the three kinds of listings; MLSD where the server has it.
func (s *scribe) lists() {
	s.t.Helper()
	verbs := []string{"NLST", "LIST"}
	features, err := s.c.Want(211, "FEAT")
	if err != nil {
		s.fatal("FEAT", err)
	}
	if strings.Contains(features.String(), "MLST") {
		verbs = append(verbs, "MLSD")
	} else if s.server.Kind.Name != peers.Vsftpd().Name {
		s.t.Errorf("%s has no MLSD any more", s.server.Kind.Name)
	}
	for _, verb := range verbs {
		if text, _, err := s.c.List(s.mode, verb); err != nil || !strings.Contains(text, "restart.bin") {
			s.fatal(verb, fmt.Errorf("%q: %w", text, err))
		}
	}
}

func sending(text string) dialogue.Carry {
	return func(conn net.Conn, seen io.Writer) (int64, error) {
		return io.Copy(io.MultiWriter(conn, seen), strings.NewReader(text))
	}
}
