package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// mostSessions is what the gateways are told to allow. Their defaults would refuse the ninth thousand idle sessions.
const mostSessions = 20000

// gateConfig is ftpgate's configuration: the defaults, log level and all, but for the limits.
const gateConfig = `interfaces: {lan: [lan0], wan: [wan0]}
%sfirewall: {backend: %s%s}
rules:
  - name: bench
    direction: outbound
    limits: {sessions: %d, sessions_per_client: %d}
`

// startFTPGate starts the daemon with one of its backends.
func startFTPGate(backend string) func(context.Context, *contestant) error {
	return func(ctx context.Context, c *contestant) error {
		return c.runFTPGate(ctx, fmt.Sprintf(gateConfig, "", backend, "", mostSessions, mostSessions))
	}
}

// runFTPGate starts the daemon with a configuration and waits until it is ready.
func (c *contestant) runFTPGate(ctx context.Context, config string) error {
	dir, err := c.directory()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "ftpgate.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	if c.gateway, err = c.lab.Host(lab.Router).Start(c.ftpgate, "run", "--config", path); err != nil {
		return err
	}
	return awaitText(ctx, c.gateway, `"ready"`)
}

// restart replaces the gateway by a fresh one, which remembers nothing of what it has carried.
func (c *contestant) restart(ctx context.Context, prepare func(context.Context, *contestant) error) error {
	if err := c.gateway.Stop(); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return prepare(ctx, c)
}

// runtimeDir is in memory on every Linux: mod_proxy writes a database at each login, which takes many times as long where
// that reaches a disk.
const runtimeDir = "/dev/shm"

// directory makes a directory that is removed with the contestant.
func (c *contestant) directory() (string, error) {
	dir, err := os.MkdirTemp(runtimeDir, "ftpgate-bench-")
	if err != nil {
		return "", fmt.Errorf("making a directory: %w", err)
	}
	c.remove = append(c.remove, dir)
	return dir, os.Chmod(dir, 0o755) // ProFTPD reads there as somebody else
}

// modProxyTimeWaits bounds the connections that mod_proxy's router keeps in TIME-WAIT. Each file leaves one or two there,
// and with tens of thousands the kernel's search for a free port would be what is measured.
const modProxyTimeWaits = "1000"

// startModProxy starts ProFTPD with mod_proxy on the router. Clients dial the router, which is nearest to what it is
// made for; it opens a control and a data connection of its own to the server and copies between them.
func startModProxy(ctx context.Context, c *contestant) error {
	program, err := peers.CachePath("proftpd-core/usr/sbin/proftpd")
	if err != nil {
		return err
	}
	dir, err := c.directory()
	if err != nil {
		return err
	}
	if err := linkModules(dir); err != nil {
		return err
	}
	router := c.lab.Host(lab.Router)
	if err := errors.Join(makeRoom(router), router.SetSysctl("net.ipv4.tcp_max_tw_buckets", modProxyTimeWaits)); err != nil {
		return err
	}
	at := netip.AddrPortFrom(router.Link(lab.LANInterface).IPv4, controlPort)
	config := filepath.Join(dir, "proftpd.conf")
	if err := os.WriteFile(config, []byte(modProxyConfig(dir, at, c.dial)), 0o600); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	if c.gateway, err = router.Start(program, "--nodaemon", "--config", config); err != nil {
		return err
	}
	c.dial = at
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	go func() { // one that does not like its configuration ends at once
		select {
		case <-c.gateway.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := lab.WaitListening(ctx, router, at); err != nil {
		return fmt.Errorf("%w\n%s", err, c.gateway.Output())
	}
	return nil
}

// linkModules puts the modules of two packages into one directory, since ProFTPD looks in one: mod_proxy finds OpenSSL
// only through mod_tls.
func linkModules(dir string) error {
	for _, module := range []string{
		"proftpd-mod-crypto/usr/lib/proftpd/mod_tls.so", "proftpd-mod-proxy/usr/lib/proftpd/mod_proxy.so",
	} {
		path, err := peers.CachePath(module)
		if err != nil {
			return err
		}
		if err := os.Symlink(path, filepath.Join(dir, filepath.Base(path))); err != nil {
			return fmt.Errorf("linking ProFTPD's modules: %w", err)
		}
	}
	return nil
}

// modProxyConfig leaves out what costs time and is not needed to carry files: logs, looking up names, delays.
func modProxyConfig(dir string, at, server netip.AddrPort) string {
	return strings.Join([]string{
		"ServerName bench",
		"ServerType standalone",
		"DefaultAddress " + at.Addr().String(),
		"SocketBindTight on",
		fmt.Sprintf("Port %d", at.Port()),
		"UseIPv6 off",
		"User daemon",
		"Group daemon",
		"UseReverseDNS off",
		"WtmpLog off",
		"TransferLog none",
		"SystemLog none",

		"DelayEngine off",
		"MaxInstances none",
		"PidFile " + filepath.Join(dir, "pid"),
		"ScoreboardFile " + filepath.Join(dir, "scoreboard"),
		"ModulePath " + dir,
		"LoadModule mod_tls.c",
		"LoadModule mod_proxy.c",
		"ProxyEngine on",
		"ProxyTLSEngine off", // else it reads all certificate authorities of the system at each login
		"ProxyRole reverse",
		"ProxyReverseServers ftp://" + server.String(),
		"ProxyTables " + filepath.Join(dir, "tables"),
		"",
	}, "\n")
}
