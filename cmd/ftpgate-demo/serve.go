package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// serveCommand makes this program an FTP server of one directory. The demo runs itself so in the hosts of the lab: the
// server's sockets are then those of its host.
const serveCommand = "serve-directory"

// serving is what such a server prints when it listens.
const serving = "serving"

// serve runs the server until SIGTERM and returns the exit code.
func serve(directory string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	everywhere := netip.AddrPortFrom(netip.IPv6Unspecified(), controlPort)
	err := peers.ServeEmbedded(ctx, everywhere, peers.EmbeddedOptions{
		Root:    directory,
		AnyUser: true,
		Ready:   func() { fmt.Println(serving) },
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	return 0
}
