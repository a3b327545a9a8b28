package peers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"

	ftpserver "github.com/fclairamb/ftpserverlib"
	"github.com/spf13/afero"
)

// Seconds that the embedded server waits for a client's next command, and for a data connection.
const (
	embeddedIdle    = 300
	embeddedConnect = 10
)

// EmbeddedOptions say how the embedded server is set up.
type EmbeddedOptions struct {
	Root string // the directory that it serves
	// Passive are the ports to listen on for data. With a range it serves PASV and EPSV over IPv4 only: the library
	// then listens on no address of IPv6.
	Passive     PortRange
	Announce    netip.Addr   // as in ServerOptions
	AnyDataPort bool         // as in ServerOptions; otherwise it is port 20, whatever the control port
	AnyUser     bool         // whoever knows the password may come in, whatever he is called
	Log         *slog.Logger // of the library; nil: silence
	Ready       func()       // called when it listens; nil: nobody
}

// ServeEmbedded serves FTP in this process, with the login of the other servers, until ctx ends. Its data connections
// are made by goroutines of its own, so that lab.Host.Do cannot bring them into a host: a program that wants it in one
// runs itself again there, with Host.Start, and calls this. An unspecified IPv6 address serves both families.
func ServeEmbedded(ctx context.Context, at netip.AddrPort, o EmbeddedOptions) error {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	listener, err := config.Listen(ctx, "tcp", at.String())
	if err != nil {
		return fmt.Errorf("embedded FTP server: %w", err)
	}
	server := ftpserver.NewFtpServer(&embedded{options: o, listener: listener})
	if o.Log != nil {
		server.Logger = o.Log
	}
	if err := server.Listen(); err != nil {
		listener.Close()
		return fmt.Errorf("embedded FTP server: %w", err)
	}
	if o.Ready != nil {
		o.Ready()
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	select {
	case err = <-served:
	case <-ctx.Done():
		err = errors.Join(server.Stop(), <-served)
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("embedded FTP server: %w", err)
	}
	return nil
}

// embedded is what the library asks about the server.
type embedded struct {
	options  EmbeddedOptions
	listener net.Listener
}

// GetSettings is called once, before the server listens.
func (e *embedded) GetSettings() (*ftpserver.Settings, error) {
	settings := &ftpserver.Settings{
		Listener:                e.listener,
		Banner:                  "ftpgate lab",
		IdleTimeout:             embeddedIdle,
		ConnectionTimeout:       embeddedConnect,
		ActiveTransferPortNon20: e.options.AnyDataPort,
		DefaultTransferType:     ftpserver.TransferTypeBinary,
	}
	if e.options.Announce.IsValid() {
		settings.PublicHost = e.options.Announce.String()
	}
	if p := e.options.Passive; p.First != 0 {
		settings.PassiveTransferPortRange = ftpserver.PortRange{Start: int(p.First), End: int(p.Last)}
	}
	return settings, nil
}

// ClientConnected greets.
func (e *embedded) ClientConnected(ftpserver.ClientContext) (string, error) { return "ready", nil }

// ClientDisconnected has nothing to do.
func (e *embedded) ClientDisconnected(ftpserver.ClientContext) {}

// AuthUser admits User with Password; others as the options say.
func (e *embedded) AuthUser(_ ftpserver.ClientContext, user, password string) (ftpserver.ClientDriver, error) {
	if user != User && !e.options.AnyUser || password != Password {
		return nil, errors.New("wrong user or password")
	}
	return discreet{afero.NewBasePathFs(afero.NewOsFs(), e.options.Root)}, nil
}

// discreet tells clients of an error without the server's own name of the file.
type discreet struct{ afero.Fs }

func (d discreet) OpenFile(name string, flag int, mode fs.FileMode) (afero.File, error) {
	file, err := d.Fs.OpenFile(name, flag, mode)
	if inner := new(fs.PathError); errors.As(err, &inner) {
		err = inner.Err
	}
	return file, err
}

// GetTLSConfig refuses: the embedded server is a plain one.
func (e *embedded) GetTLSConfig() (*tls.Config, error) {
	return nil, errors.New("there is no TLS here")
}
