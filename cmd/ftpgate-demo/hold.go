package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
	"github.com/ftpgate/ftpgate/deploy/lab/traffic"
)

const (
	// visible is how long, with --hold, a pinhole waits for its connection: time enough to see its rules.
	visible = time.Second
	// A transfer goes in pieces with pauses, so that conntrack shows it.
	pieces     = 8
	pieceSize  = 64 << 10
	piecePause = 150 * time.Millisecond
)

// hold stays up, and busy, until ctx ends.
func (s *stage) hold(ctx context.Context) {
	url, err := s.showDashboard(ctx)
	if err != nil {
		s.out.line("%v", err)
	}
	s.lookAround(url)
	ended := s.liven(ctx)
	defer ended()
	for n := 1; ; n++ {
		for _, w := range ways {
			for _, mode := range w.modes() {
				err := s.slowly(ctx, w, mode)
				if ctx.Err() != nil {
					s.out.line("")
					return
				}
				outcome := "ok"
				if err != nil {
					// It is no failure of the demo: the user may have stopped the daemon to see what happens.
					outcome, _, _ = strings.Cut(err.Error(), "\n")
					pause(ctx, visible)
				}
				s.out.progress("  %s  round %d: %s, %s: %s", time.Now().Format(time.TimeOnly), n, w.name, mode, outcome)
			}
		}
	}
}

// liven lets people use the gateway until ctx ends; ended waits for them to go.
func (s *stage) liven(ctx context.Context) (ended func()) {
	p := traffic.Places{Lab: s.lab, Outside: netip.MustParseAddrPort("203.0.113.20:21"), Public: netip.MustParseAddrPort("203.0.113.1:21"),
		OutsideRoot: s.roots[lab.Outside], ServerRoot: s.roots[lab.Server]}
	if err := p.Prepare(); err != nil {
		s.out.line("%v", err)
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Run(ctx)
	}()
	return func() { <-done }
}

// slowly makes one transfer that can be watched.
func (s *stage) slowly(ctx context.Context, w way, mode dialogue.Mode) error {
	c, err := s.login(ctx, w)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	data, err := c.Open(mode)
	if err != nil {
		return err
	}
	defer data.Close()
	pause(ctx, visible)
	_, err = data.Transfer("STOR hold.bin", func(conn net.Conn, seen io.Writer) (int64, error) {
		var sent int64
		piece := make([]byte, pieceSize)
		for range pieces {
			n, err := io.MultiWriter(conn, seen).Write(piece)
			sent += int64(n)
			if err != nil {
				return sent, err
			}
			pause(ctx, piecePause)
		}
		return sent, ctx.Err()
	})
	if err == nil {
		_, err = c.Want(221, "QUIT")
	}
	return err
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// lookAround tells what there is to see, as commands to copy.
func (s *stage) lookAround(url string) {
	p := s.out
	in := func(host string) string { return "ip netns exec " + s.lab.Host(host).Namespace }
	at := func(address string) string {
		return fmt.Sprintf("ftp://%s:%s@%s/", peers.User, peers.Password, address)
	}
	command := func(format string, args ...any) { p.line("  %s", p.paint(blue, fmt.Sprintf(format, args...))) }

	p.heading("It stays up until Ctrl-C, and people use it. In another terminal, as root:")
	p.line("\n  The dashboard, for a browser on this machine, and the same on a terminal:")
	command("%s", url)
	command("%s %s status --watch", in(lab.Router), s.ftpgate)
	command("%s %s status transfers --failed", in(lab.Router), s.ftpgate)
	p.line("\n  A LAN client, active and passive; a client on the Internet, dialling the router%s:", unless("curl"))
	command("%s curl -v --ftp-port - %s", in(lab.Client), at("203.0.113.20"))
	command("%s curl -v %s", in(lab.Client), at("203.0.113.20"))
	command("%s curl -v -T /etc/services %s", in(lab.Outside), at("203.0.113.1"))
	p.line("\n  The pinholes while they live, and everything else that ftpgate has put in place:")
	command("watch -n 0.3 \"%s %s | grep session\"", in(lab.Router), s.listing(false))
	command("%s %s", in(lab.Router), s.listing(false))
	command("%s iptables-%s-save -t filter", in(lab.Router), s.variant)
	command("%s ip rule", in(lab.Router))
	p.line("\n  The data connections in the kernel%s:", unless("conntrack"))
	command("%s conntrack -L --mark 0x47000000/0xff000000", in(lab.Router))
	p.line("\n  The daemon's log, and its configuration; SIGHUP makes it read that again:")
	command("tail -f %s", s.gateway.log.file.Name())
	command("editor %s && kill -HUP %d", s.gateway.config, s.gateway.process.PID())
	p.line("\n  A shell on any of the hosts:")
	for _, host := range []string{lab.Router, lab.Client, lab.Server, lab.Outside, lab.Third} {
		command("%s bash", in(host))
	}
	p.line("")
}

// unless names the package of a program that is not there.
func unless(program string) string {
	if _, err := exec.LookPath(program); err == nil {
		return ""
	}
	return fmt.Sprintf(" (apt-get install %s)", program)
}
