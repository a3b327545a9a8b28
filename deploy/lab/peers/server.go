// Package peers drives the FTP programs of the world in a lab: servers and clients that the project has to get along
// with, each as Debian ships it, and an embedded server for the demo. install.sh puts them in place.
//
// Servers and clients have one face each, so that a test is a table of clients × servers × modes.
package peers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
)

// The login at every server.
const (
	User     = "lab"
	Password = "secret"
)

// passwordHash is Password for crypt(3), by `openssl passwd -6 -salt ftpgatelab secret`.
const passwordHash = "$6$ftpgatelab$U1A.wxshIOkItJUNdemu8LXtasrNWkUHzHZDHHf9rOQ.o3FeU677CMYm8cM.kCkLmwniwVDrwtQJWgb/BJflM0"

// startTimeout is how long a server may take until it listens.
const startTimeout = 15 * time.Second

// The user and group as whom all servers run and to whom their files belong. It is not nobody, because vsftpd wants to
// see the home of its user.
const (
	unprivileged     = 1
	unprivilegedName = "daemon"
)

// maxSessions is the number of sessions that every server is told to allow.
const maxSessions = 20000

// PortRange is a range of TCP ports, both ends included. The zero value leaves the choice to the kernel.
type PortRange struct{ First, Last uint16 }

// ServerOptions say how a server is set up. The zero value listens on port 21 of each of the host's addresses, allows
// everything, and connects for data from port 20 if it can.
type ServerOptions struct {
	Addresses []netip.Addr // empty: all of the host's
	Port      uint16       // of the control connection; zero: 21
	Passive   PortRange    // ports to listen on for data
	// Announce is what the server writes into its 227 instead of its own address, as one behind a translation does that
	// was set up by hand.
	Announce netip.Addr
	// AnyDataPort makes the server connect for data from any port, and not from port 20. ProFTPD obeys with control port
	// 21 alone, and Pure-FTPd cannot be told.
	AnyDataPort bool
	// ReadOnly takes from the server the right to write into its directory.
	ReadOnly bool
	// TLS lets clients ask for protection (RFC 4217). TLSReuse makes the server demand that a data connection resume
	// the TLS session of the control connection; Pure-FTPd and pyftpdlib cannot.
	TLS, TLSReuse bool
	// Root is the directory that is served. Empty: a new one, which Stop removes.
	Root string
}

// ServerKind is a program that serves FTP.
type ServerKind struct {
	Name string
	// DataPort20 says that it connects for data from port 20. With another control port, vsftpd and ProFTPD take the
	// one below that. Pure-FTPd takes another low port while port 20 bears an old connection of another server.
	DataPort20 bool
	// prepare writes the configuration of one process.
	prepare func(in *instance) (command, error)
}

// ServerKinds lists the servers.
func ServerKinds() []ServerKind {
	return []ServerKind{Vsftpd(), ProFTPD(), PureFTPd(), Pyftpdlib()}
}

// instance is what a kind has to know to set up one process: each address of a server has its own.
type instance struct {
	ServerOptions
	at   netip.AddrPort
	dir  string // for its configuration; nobody else's
	root string
	cert certificate // set with TLS
}

// path names a file in the instance's directory.
func (in *instance) path(name string) string { return filepath.Join(in.dir, name) }

// write writes a configuration file, which others may not read: some servers insist on it.
func (in *instance) write(name, text string) (string, error) {
	path := in.path(name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// announces says whether this process is to write a foreign address into its 227.
func (in *instance) announces() bool { return in.Announce.IsValid() && in.at.Addr().Is4() }

// command is how a process is started, and where it writes its log.
type command struct {
	program string
	args    []string
	env     []string
	logs    []string
}

// Server is a server that runs.
type Server struct {
	Kind ServerKind
	Host *lab.Host
	Root string // the directory that it serves
	Port uint16 // of its control connections
	// Certificate is the server's own with TLS, in PEM.
	Certificate []byte

	dir       string
	logs      []string
	processes []*lab.Process
}

// Start starts the server in a host and waits until it listens. The caller stops it.
func (k ServerKind) Start(ctx context.Context, host *lab.Host, o ServerOptions) (*Server, error) {
	if o.Port == 0 {
		o.Port = 21
	}
	if len(o.Addresses) == 0 {
		o.Addresses = addressesOf(host)
	}
	s := &Server{Kind: k, Host: host, Port: o.Port, Root: o.Root}
	if err := s.start(ctx, o); err != nil {
		err = fmt.Errorf("%s on %s: %w\n%s", k.Name, host.Name, err, s.Log())
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func addressesOf(host *lab.Host) []netip.Addr {
	var all []netip.Addr
	for _, a := range []netip.Addr{host.IPv4(), host.IPv6(), host.ULA()} {
		if a.IsValid() {
			all = append(all, a)
		}
	}
	return all
}

// start makes the directories and one process per address.
func (s *Server) start(ctx context.Context, o ServerOptions) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := s.makeDirectories(o.ReadOnly); err != nil {
		return err
	}
	var cert certificate
	if o.TLS {
		var err error
		if cert, err = newCertificate(s.dir, o.Addresses); err != nil {
			return fmt.Errorf("making a certificate: %w", err)
		}
		s.Certificate = cert.pem
	}
	for i, address := range o.Addresses {
		in := &instance{
			ServerOptions: o, at: netip.AddrPortFrom(address, o.Port), root: s.Root, cert: cert,
			dir: filepath.Join(s.dir, fmt.Sprint(i)),
		}
		if err := s.launch(in); err != nil {
			return err
		}
	}
	for i, address := range o.Addresses {
		if err := s.await(ctx, s.processes[i], netip.AddrPortFrom(address, o.Port)); err != nil {
			return err
		}
	}
	return nil
}

// makeDirectories makes the directory for the configuration and, unless the caller has one, that of the files.
func (s *Server) makeDirectories(readOnly bool) (err error) {
	if s.dir, err = os.MkdirTemp("", "ftpgate-"+s.Kind.Name+"-"); err != nil {
		return err
	}
	if err := os.Chmod(s.dir, 0o755); err != nil { // the servers' user has to reach the files
		return err
	}
	if s.Root == "" {
		s.Root = filepath.Join(s.dir, "files")
		if err := os.Mkdir(s.Root, 0o755); err != nil {
			return err
		}
	}
	if readOnly {
		return nil
	}
	return os.Chown(s.Root, unprivileged, unprivileged)
}

// launch starts the process of one address.
func (s *Server) launch(in *instance) error {
	if err := os.Mkdir(in.dir, 0o755); err != nil {
		return err
	}
	c, err := s.Kind.prepare(in)
	if err != nil {
		return fmt.Errorf("configuring: %w", err)
	}
	s.logs = append(s.logs, c.logs...)
	program, args, err := withoutDNS(in.dir, c.program, c.args...)
	if err != nil {
		return err
	}
	p, err := s.Host.StartWith(lab.StartOptions{Env: c.env, Dir: in.dir}, program, args...)
	if err != nil {
		return err
	}
	s.processes = append(s.processes, p)
	return nil
}

// await waits until the process listens, or has ended.
func (s *Server) await(ctx context.Context, p *lab.Process, at netip.AddrPort) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-p.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := lab.WaitListening(ctx, s.Host, at); err != nil {
		return errors.Join(err, p.Err())
	}
	return nil
}

// Address is the server's control address of one family: the first that its host has.
func (s *Server) Address(six bool) netip.AddrPort {
	if six {
		return netip.AddrPortFrom(s.Host.IPv6(), s.Port)
	}
	return netip.AddrPortFrom(s.Host.IPv4(), s.Port)
}

// Log returns what the server has logged and printed so far.
func (s *Server) Log() string {
	var b strings.Builder
	for _, path := range s.logs {
		text, err := os.ReadFile(path)
		if err == nil && len(text) > 0 {
			fmt.Fprintf(&b, "--- %s\n%s", path, text)
		}
	}
	for _, p := range s.processes {
		b.WriteString(p.Output())
	}
	return b.String()
}

// Stop ends the server with its sessions and removes its files. A second call is harmless.
func (s *Server) Stop() error {
	for _, p := range s.processes {
		p.Kill() // nothing of a test's server is worth saving, and sessions are processes of the same group
	}
	if s.dir == "" {
		return nil
	}
	return os.RemoveAll(s.dir)
}
