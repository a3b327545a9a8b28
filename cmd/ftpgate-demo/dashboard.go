package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"

	"github.com/ftpgate/ftpgate/deploy/lab"
)

// dashboardAt is the daemon's status.listen on the router, and, if it is free, where this machine's browsers find it.
var dashboardAt = netip.MustParseAddrPort("127.0.0.1:9121")

// showDashboard brings the router's loopback address to this machine's, until ctx ends. It returns the URL.
func (s *stage) showDashboard(ctx context.Context) (string, error) {
	l, err := net.Listen("tcp", dashboardAt.String())
	if err != nil {
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return "", fmt.Errorf("listening for browsers: %w", err)
		}
	}
	context.AfterFunc(ctx, func() { l.Close() })
	go func() {
		for {
			browser, err := l.Accept()
			if err != nil {
				return // ctx has ended
			}
			go s.bring(ctx, browser)
		}
	}()
	return fmt.Sprintf("http://%s/", l.Addr()), nil
}

// bring connects a browser with the daemon.
func (s *stage) bring(ctx context.Context, browser net.Conn) {
	defer browser.Close()
	daemon, err := s.lab.Host(lab.Router).Dial(ctx, dashboardAt)
	if err != nil {
		return // the user has stopped it
	}
	defer daemon.Close()
	stop := context.AfterFunc(ctx, func() { browser.Close(); daemon.Close() })
	defer stop()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{browser, daemon}, {daemon, browser}} {
		both.Go(func() {
			io.Copy(way[0], way[1])
			way[0].(*net.TCPConn).CloseWrite()
		})
	}
	both.Wait()
}
