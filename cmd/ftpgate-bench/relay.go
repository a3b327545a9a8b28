package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/deploy/lab"
)

const (
	relayCommand = "relay"
	relayPort    = 2121
	relaying     = "relaying"
	// longestLine is room for a line of the load's dialogue, many times over.
	longestLine = 4096
)

// startRelay puts a program on the router that takes control connections over and passes them on as they come. It reads
// nothing, opens nothing and logs nothing: no gateway in user space can cost less.
func startRelay(ctx context.Context, c *contestant) error {
	router := c.lab.Host(lab.Router)
	for _, command := range []string{
		"ip rule add fwmark 1 lookup 100",
		"ip route add local default dev lo table 100",
		fmt.Sprintf("iptables-nft -t mangle -A PREROUTING -i lan0 -p tcp --dport %d -j TPROXY --on-ip 127.0.0.1 --on-port %d --tproxy-mark 1",
			controlPort, relayPort),
	} {
		words := strings.Fields(command)
		if _, err := router.Run(ctx, words[0], words[1:]...); err != nil {
			return fmt.Errorf("setting the relay up: %w", err)
		}
	}
	var err error
	if c.gateway, err = router.Start(c.self, relayCommand); err != nil {
		return err
	}
	return awaitText(ctx, c.gateway, relaying)
}

// relay is the program, until it is killed.
func relay() error {
	transparent := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		if err := raw.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TRANSPARENT, 1)
		}); err != nil {
			return err
		}
		return failed
	}}
	listener, err := transparent.Listen(context.Background(), "tcp4", fmt.Sprintf("127.0.0.1:%d", relayPort))
	if err != nil {
		return fmt.Errorf("listening for control connections: %w", err)
	}
	fmt.Println(relaying)
	for {
		client, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("accepting a control connection: %w", err)
		}
		go relayOne(client.(*net.TCPConn))
	}
}

func relayOne(client *net.TCPConn) {
	defer client.Close()
	dialled, err := net.Dial("tcp4", client.LocalAddr().String())
	if err != nil {
		return
	}
	server := dialled.(*net.TCPConn)
	defer server.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		passOn(server, client)
	}()
	passOn(client, server)
	<-done
}

// passOn copies one way until its end. io.Copy would splice, by way of a pipe for each direction, which costs single lines
// more than it saves.
func passOn(to, from *net.TCPConn) {
	line := make([]byte, longestLine)
	for {
		n, err := from.Read(line)
		if err == nil {
			_, err = to.Write(line[:n])
		}
		if err != nil {
			_ = to.CloseWrite() // it may be closed by now
			return
		}
	}
}
