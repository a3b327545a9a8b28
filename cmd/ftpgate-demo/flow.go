package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// fileSize is that of the transferred files, in bytes: more than a window of TCP, and no power of two.
const fileSize = 1_000_003

// flow is what became of one way in one mode.
type flow struct {
	way       way
	mode      dialogue.Mode
	announced entry
	rules     ruleset
	stored    dialogue.Transfer
	fetched   dialogue.Transfer
	err       error
}

// walk goes one way in all its modes, on one control connection. An error of the connection itself is that of the
// mode that met it; the modes after it are not tried.
func (s *stage) walk(ctx context.Context, w way) []flow {
	c, err := s.login(ctx, w)
	if err != nil {
		return []flow{{way: w, mode: w.modes()[0], err: err}}
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	var flows []flow
	session, err := s.gateway.log.started(ctx, c.Local().String())
	for _, mode := range w.modes() {
		f := flow{way: w, mode: mode, err: err}
		if err == nil {
			f.err = s.transfer(ctx, c, session.Session, &f)
		}
		if f.err != nil {
			f.err = fmt.Errorf("%w\n%s", f.err, strings.Join(c.Transcript(), "\n"))
			return append(flows, f)
		}
		flows = append(flows, f)
		s.present(f)
	}
	if err := s.quit(ctx, c, session, w); err != nil {
		flows[len(flows)-1].err = err
	}
	return flows
}

// login connects to the way's server by what its client dials.
func (s *stage) login(ctx context.Context, w way) (*dialogue.Client, error) {
	c, err := dialogue.Dial(ctx, s.lab.Host(w.client), w.target(), dialogue.Options{Source: w.from()})
	if err != nil {
		return nil, err
	}
	err = c.Login(peers.User, peers.Password)
	if err == nil {
		_, err = c.Want(2, "TYPE I")
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("%w\n%s", err, strings.Join(c.Transcript(), "\n"))
	}
	return c, nil
}

// transfer stores a new file and fetches it again, each by a data connection of its own, and looks at the rules between
// the negotiation of the first one and its connection.
func (s *stage) transfer(ctx context.Context, c *dialogue.Client, session uint64, f *flow) error {
	data, err := c.Open(f.mode)
	if err != nil {
		return err
	}
	defer data.Close()
	if f.announced, err = s.gateway.log.announced(ctx, session, string(f.mode)); err != nil {
		return err
	}
	if f.rules, err = s.pinhole(ctx, f.way.six(), session); err != nil {
		return err
	}
	content := make([]byte, fileSize)
	rand.Read(content) // never fails, as its documentation says
	name := strings.ToLower(string(f.mode)) + ".bin"
	f.stored, err = data.Transfer("STOR "+name, func(conn net.Conn, seen io.Writer) (int64, error) {
		return io.Copy(conn, io.TeeReader(bytes.NewReader(content), seen))
	})
	if err != nil {
		return err
	}
	if err := s.compare(f.way.server, name, f.stored); err != nil {
		return err
	}
	if f.fetched, err = c.Retrieve(f.mode, name, io.Discard); err != nil {
		return err
	}
	return f.check()
}

// compare holds what the server has against what the client has sent.
func (s *stage) compare(server, name string, sent dialogue.Transfer) error {
	content, err := os.ReadFile(filepath.Join(s.roots[server], name))
	if err != nil {
		return fmt.Errorf("reading what was stored: %w", err)
	}
	sum := sha256.Sum256(content)
	if got := hex.EncodeToString(sum[:]); int64(len(content)) != sent.Bytes || got != sent.SHA256 {
		return fmt.Errorf("the server has %d bytes with SHA-256 %s, the client sent %d with %s",
			len(content), got, sent.Bytes, sent.SHA256)
	}
	return nil
}

// check says whether the flow was what its way promises.
func (f *flow) check() error {
	var wrong []error
	if f.fetched.Bytes != f.stored.Bytes || f.fetched.SHA256 != f.stored.SHA256 || f.stored.Bytes != fileSize {
		wrong = append(wrong, fmt.Errorf("the client sent %d bytes with SHA-256 %s and fetched %d with %s",
			f.stored.Bytes, f.stored.SHA256, f.fetched.Bytes, f.fetched.SHA256))
	}
	for _, t := range []dialogue.Transfer{f.stored, f.fetched} {
		if want := f.way.target().Addr(); t.Remote.Addr() != want {
			wrong = append(wrong, fmt.Errorf("the client had data from %s, but it had dialled %s", t.Remote, want))
		}
	}
	if translated := f.rules.has(leads) || f.rules.has(renames); translated != f.way.translated {
		wrong = append(wrong, fmt.Errorf("the rules translate: %t, they should: %t\n%s",
			translated, f.way.translated, f.rules))
	}
	return errors.Join(wrong...)
}

// quit ends the session, and holds what the daemon has counted and logged of it against what happened.
func (s *stage) quit(ctx context.Context, c *dialogue.Client, started entry, w way) error {
	if _, err := c.Want(221, "QUIT"); err != nil {
		return err
	}
	c.Close() // the session lasts until the client closes, as RFC 959 §4.1.1 leaves it to do
	ended, err := s.gateway.log.ended(ctx, started.Session)
	if err != nil {
		return err
	}
	if seen, _, err := net.SplitHostPort(started.SeenAs); err != nil || seen != w.seenAs {
		return fmt.Errorf("the server saw the client as %s, it should be %s", started.SeenAs, w.seenAs)
	}
	want := 2 * len(w.modes())
	if ended.Transfers != want || ended.Failed != 0 {
		return fmt.Errorf("the daemon counted %d transfers and %d failed ones, there were %d",
			ended.Transfers, ended.Failed, want)
	}
	s.out.sessionEnded(ended, want*fileSize)
	return nil
}
