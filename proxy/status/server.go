// Package status is where an administrator looks: health, JSON, metrics and the
// dashboard, over HTTP. It only reads: what it shows it asks of a Source, and
// nothing that it answers changes the gateway.
package status

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/netutil"
	"golang.org/x/sys/unix"
)

const (
	// readTime and writeTime bound a request and its answer: a thousand sessions to
	// a slow phone take some seconds.
	readTime  = 10 * time.Second
	writeTime = 60 * time.Second
	idleTime  = 2 * time.Minute
	// closeGrace is how long answers that are being written may take at the stop.
	closeGrace = time.Second
	// maxHeader bounds a request, in bytes.
	maxHeader = 16 << 10
	// maxConns bounds the connections of readers; further ones wait.
	maxConns = 64
	// socketMode lets the group of the socket's directory read.
	socketMode = 0o660
)

// Options say where the endpoint listens and whom it answers.
type Options struct {
	Listen           string // address:port, unix:/path; "": nowhere
	TokenFile        string // its first line is what readers must send; "": nothing
	Certificate, Key string // files in PEM; "": no TLS
}

// Server is the endpoint. It answers once a Change has been committed.
type Server struct {
	source  Source
	log     *zap.Logger
	door    atomic.Pointer[door] // nil: closed
	history history
	handler http.Handler
	stop    context.CancelFunc // of the history
	sampled chan struct{}      // closed when it has stopped
}

// door is a listener and who may pass it.
type door struct {
	listen string
	http   *http.Server
	tls    *tls.Config // nil: plain
	token  token
}

// New returns an endpoint that listens nowhere yet. The caller closes it.
func New(source Source, log *zap.Logger) *Server {
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{source: source, log: log, stop: stop, sampled: make(chan struct{})}
	s.handler = s.routes()
	go func() {
		defer close(s.sampled)
		s.history.watch(ctx, source)
	}()
	return s
}

// Change is a new way to be reached, checked and not in force yet.
type Change struct {
	server *Server
	next   *door
	fresh  net.Listener // nil: the present one stays
}

// Prepare reads the files and opens the listener that the options name; the
// endpoint answers as before. Its error names the key and what to do.
func (s *Server) Prepare(o Options) (*Change, error) {
	next := &door{listen: o.Listen}
	if o.TokenFile != "" {
		secret, err := ReadToken(o.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("status.token_file: %w", err)
		}
		next.token = tokenOf(secret)
	}
	if o.Certificate != "" {
		certificate, err := ReadCertificate(o.Certificate, o.Key)
		if err != nil {
			return nil, fmt.Errorf("status.tls_certificate, status.tls_key: %w", err)
		}
		next.tls = &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}}
	}
	c := &Change{server: s, next: next}
	if now := s.door.Load(); now != nil && now.listen == o.Listen {
		next.http = now.http
		return c, nil
	}
	if o.Listen == "" {
		return c, nil
	}
	var err error
	if c.fresh, err = listen(o.Listen); err != nil {
		return nil, fmt.Errorf("status.listen: %s: %w", o.Listen, err)
	}
	return c, nil
}

// Commit puts the change in force.
func (c *Change) Commit() {
	s := c.server
	if c.fresh != nil {
		c.next.http = &http.Server{
			Handler: s.handler, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
			ErrorLog: zap.NewStdLog(s.log.Named("status").WithOptions(zap.IncreaseLevel(zap.ErrorLevel))), // readers' mistakes are theirs
		}
	}
	former := s.door.Swap(c.next)
	if c.fresh != nil {
		go c.next.http.Serve(gate{netutil.LimitListener(c.fresh, maxConns), s})
		c.fresh = nil
	}
	if former != nil && former.http != nil && former.http != c.next.http {
		shut(former.http)
	}
}

// Abandon gives up a change, unless it has been committed.
func (c *Change) Abandon() {
	if c.fresh != nil {
		c.fresh.Close()
	}
}

// Close ends the endpoint. It may be called again.
func (s *Server) Close() error {
	s.stop()
	<-s.sampled
	if now := s.door.Swap(nil); now != nil && now.http != nil {
		shut(now.http)
	}
	return nil
}

// shut lets answers be finished for a moment.
func shut(h *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	if h.Shutdown(ctx) != nil {
		h.Close()
	}
}

// gate speaks TLS with readers if the present door says so: a renewed
// certificate needs no new listener.
type gate struct {
	net.Listener
	server *Server
}

func (g gate) Accept() (net.Conn, error) {
	conn, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if now := g.server.door.Load(); now != nil && now.tls != nil {
		return tls.Server(conn, now.tls), nil
	}
	return conn, nil
}

// listen opens a listener. A socket's file that an earlier run has left is
// replaced; one that somebody listens at is not.
func listen(at string) (net.Listener, error) {
	path, local := strings.CutPrefix(at, "unix:")
	if !local {
		l, err := net.Listen("tcp", at)
		switch {
		case errors.Is(err, unix.EADDRINUSE):
			return nil, fmt.Errorf("%w; another program listens there (ss -ltnp), choose another port", err)
		case errors.Is(err, unix.EADDRNOTAVAIL):
			return nil, fmt.Errorf("%w; this host does not have the address (ip address)", err)
		}
		return l, err
	}
	file, err := os.Lstat(path)
	if err == nil && file.Mode().Type() != os.ModeSocket {
		return nil, errors.New("there is a file which is no socket; choose another path")
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, errors.New("another program listens at this socket; choose another path")
	} else if errors.Is(err, unix.ECONNREFUSED) {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("removing the socket of an earlier run: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		if errors.Is(err, unix.ENOENT) {
			err = fmt.Errorf("%w; make its directory first", err)
		}
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
