// Package traffic is a day at the office for a gateway in a lab: people on the LAN who fetch and store, a mirror that
// takes one small file after the other, customers who come from outside, some who only wait, and those for whom FTP
// does not work, each for a reason of its own. Demo and tests look at it through the status endpoint.
package traffic

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

const (
	// bigFile is what is fetched at leisure, in bytes; a file with a hole in it.
	bigFile = 512 << 20
	// smallFiles is how many there are for the mirror.
	smallFiles = 20
	// again is the rest before somebody who was thrown out comes back.
	again = 2 * time.Second
)

// Places are what the traffic goes to. The servers admit any user with the password of peers.
type Places struct {
	Lab     *lab.Lab
	Outside netip.AddrPort // a server on the Internet, as LAN clients dial it
	Public  netip.AddrPort // the router's address at which the server on the LAN is published
	// OutsideRoot and ServerRoot are the directories that the two servers serve.
	OutsideRoot, ServerRoot string
}

// Prepare puts files where the servers serve them.
func (p Places) Prepare() error {
	for _, name := range []string{"debian-13.2.0-amd64-netinst.iso", "archive/2026-11.tar"} {
		if err := hollow(filepath.Join(p.OutsideRoot, name)); err != nil {
			return err
		}
	}
	for i := range smallFiles {
		for _, root := range []string{p.OutsideRoot, p.ServerRoot} {
			if err := store(filepath.Join(root, small(i)), make([]byte, 2000+i*700)); err != nil {
				return err
			}
		}
	}
	for _, dir := range []string{filepath.Join(p.OutsideRoot, "incoming"), filepath.Join(p.ServerRoot, "orders")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func small(i int) string { return fmt.Sprintf("pool/main/f/ftpgate-%02d.deb", i) }

func store(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

func hollow(path string) error {
	if err := store(path, nil); err != nil {
		return err
	}
	return os.Truncate(path, bigFile)
}

// person is somebody's habit: what one session does until it ends.
type person struct {
	user   string
	host   string // of the lab
	inside bool   // dials the published server
	live   func(ctx context.Context, c *dialogue.Client) error
}

var people = []person{
	{"anna", lab.Client, false, fetch(dialogue.PASV, "debian-13.2.0-amd64-netinst.iso", 9<<20)},
	{"backup", lab.Client, false, fetch(dialogue.EPSV, "archive/2026-11.tar", 4<<20)},
	{"ben", lab.Client, false, upload(dialogue.PORT, "incoming/holiday.mov", 3<<20, 40<<20)},
	{"mirror", lab.Client, false, mirror(dialogue.EPSV)},
	{"mirror", lab.Client, false, mirror(dialogue.PORT)},
	{"acme", lab.Outside, true, upload(dialogue.PASV, "orders/44192.pdf", 1<<20, 3<<20)},
	{"globex", lab.Outside, true, upload(dialogue.EPRT, "orders/q4-forecast.xlsx", 2<<20, 20<<20)},
	{"catalogue", lab.Outside, true, mirror(dialogue.PASV)},
	{"carla", lab.Client, false, idle},
	{"dan", lab.Client, false, idle},
	{"initech", lab.Outside, true, idle},
	{"eve", lab.Client, false, missing},
	{"oldclient", lab.Client, false, foreign},
	{"behind-a-firewall", lab.Outside, true, unheard},
}

// Run lets everybody live until ctx ends, and returns when all have gone.
func (p Places) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	for _, who := range people {
		all.Go(func() {
			for ctx.Err() == nil {
				p.session(ctx, who) // whatever ends it: the daemon may have been stopped, or told to refuse
				rest(ctx, again)
			}
		})
	}
}

func (p Places) session(ctx context.Context, who person) error {
	server := p.Outside
	if who.inside {
		server = p.Public
	}
	c, err := dialogue.Dial(ctx, p.Lab.Host(who.host), server, dialogue.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if err := c.Login(who.user, peers.Password); err != nil {
		return err
	}
	return who.live(ctx, c)
}

// fetch reads a file at some rate in bytes per second, again and again.
func fetch(mode dialogue.Mode, path string, rate int) func(context.Context, *dialogue.Client) error {
	return func(ctx context.Context, c *dialogue.Client) error {
		for ctx.Err() == nil {
			data, err := c.Open(mode)
			if err != nil {
				return err
			}
			if _, err := data.Transfer("RETR "+path, func(conn net.Conn, seen io.Writer) (int64, error) {
				return at(ctx, rate, func(n int64) (int64, error) { return io.CopyN(io.Discard, conn, n) })
			}); err != nil {
				return err
			}
		}
		return nil
	}
}

// upload writes a file of some size at some rate, with a rest after each.
func upload(mode dialogue.Mode, path string, rate int, size int64) func(context.Context, *dialogue.Client) error {
	return func(ctx context.Context, c *dialogue.Client) error {
		for ctx.Err() == nil {
			data, err := c.Open(mode)
			if err != nil {
				return err
			}
			if _, err := data.Transfer("STOR "+path, func(conn net.Conn, seen io.Writer) (int64, error) {
				var sent int64
				return at(ctx, rate, func(n int64) (int64, error) {
					n = min(n, size-sent)
					sent += n
					if n == 0 {
						return 0, io.EOF
					}
					written, err := conn.Write(make([]byte, n))
					return int64(written), err
				})
			}); err != nil {
				return err
			}
			rest(ctx, 3*time.Second)
		}
		return nil
	}
}

// at moves pieces at some rate until the end of the file.
func at(ctx context.Context, rate int, move func(int64) (int64, error)) (sum int64, err error) {
	const piece = 100 * time.Millisecond
	for ctx.Err() == nil {
		share := int64(float64(rate) * piece.Seconds() * (0.6 + 0.8*rand.Float64()))
		n, err := move(share)
		if sum += n; err == io.EOF {
			return sum, nil
		}
		if err != nil {
			return sum, err
		}
		rest(ctx, piece)
	}
	return sum, ctx.Err()
}

// mirror takes small files, each by a data connection of its own.
func mirror(mode dialogue.Mode) func(context.Context, *dialogue.Client) error {
	return func(ctx context.Context, c *dialogue.Client) error {
		for i := 0; ctx.Err() == nil; i++ {
			if _, err := c.Retrieve(mode, small(i%smallFiles), io.Discard); err != nil {
				return err
			}
			rest(ctx, time.Duration(100+rand.IntN(400))*time.Millisecond)
		}
		return nil
	}
}

// idle keeps its session.
func idle(ctx context.Context, c *dialogue.Client) error {
	for ctx.Err() == nil {
		if _, err := c.Want(200, "NOOP"); err != nil {
			return err
		}
		rest(ctx, 20*time.Second)
	}
	return nil
}

// missing asks for what is not there.
func missing(ctx context.Context, c *dialogue.Client) error {
	_, err := c.Retrieve(dialogue.EPSV, "reports/november.csv", io.Discard)
	rest(ctx, 40*time.Second)
	return err
}

// foreign announces an address that only its own network knows.
func foreign(ctx context.Context, c *dialogue.Client) error {
	_, err := c.Cmd("PORT 10,0,0,5,200,10")
	rest(ctx, 60*time.Second)
	return err
}

// unheard asks for a passive data connection and never makes it, as a client behind a filter that lets only port 21 out.
func unheard(ctx context.Context, c *dialogue.Client) error {
	if _, err := c.Want(227, "PASV"); err != nil {
		return err
	}
	rest(ctx, 20*time.Second)
	return nil
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
