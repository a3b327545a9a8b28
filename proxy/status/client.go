package status

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// clientTime bounds a question and its answer.
	clientTime = 15 * time.Second
	// maxAnswer bounds an answer, in bytes; a thousand sessions take one million.
	maxAnswer = 64 << 20
)

// Client asks an endpoint of this package.
type Client struct {
	// Address is where, for messages.
	Address string
	base    url.URL
	token   string
	http    http.Client
}

// NewClient returns one that asks where the options have an endpoint listen.
// Listen may also be a URL (http://host:port, https://host:port). With the
// certificate of the options, no other one is accepted; the key is not read.
func NewClient(o Options) (*Client, error) {
	c := &Client{Address: o.Listen}
	transport := &http.Transport{DisableCompression: true}
	c.http = http.Client{Transport: transport, Timeout: clientTime}
	switch path, local := strings.CutPrefix(o.Listen, "unix:"); {
	case local:
		c.base = url.URL{Scheme: "http", Host: "localhost"}
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	case strings.Contains(o.Listen, "://"):
		u, err := url.Parse(o.Listen)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("%q is not the URL of an endpoint: write http://host:port or https://host:port", o.Listen)
		}
		c.base = url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(u.Path, "/")}
	default:
		host, port, err := net.SplitHostPort(o.Listen)
		if err != nil {
			return nil, fmt.Errorf("%q is no address: write 127.0.0.1:9121, unix:/path or https://host:port", o.Listen)
		}
		if address, err := netip.ParseAddr(host); err == nil && address.IsUnspecified() {
			host = map[bool]string{true: "127.0.0.1", false: "::1"}[address.Is4()]
		}
		c.base = url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)}
	}
	if o.TokenFile != "" {
		var err error
		if c.token, err = readToken(o.TokenFile); err != nil {
			return nil, err
		}
	}
	if o.Certificate != "" {
		only, err := pinned(o.Certificate)
		if err != nil {
			return nil, err
		}
		c.base.Scheme, transport.TLSClientConfig = "https", only
	}
	return c, nil
}

// pinned accepts the certificate in a file alone: who has the file of the
// daemon's certificate needs no authority to know it.
func pinned(path string) (*tls.Config, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("%s: no certificate in PEM", path)
	}
	return &tls.Config{
		InsecureSkipVerify: true, // in favour of:
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) == 0 || !bytes.Equal(raw[0], block.Bytes) {
				return fmt.Errorf("the endpoint does not show the certificate of %s", path)
			}
			return nil
		},
	}, nil
}

// Get asks for a path such as "api/v1/status" and decodes the JSON of the answer.
func (c *Client) Get(ctx context.Context, path string, value any) error {
	body, err := c.Raw(ctx, path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, value); err != nil {
		return fmt.Errorf("%s does not answer as ftpgate does: %w", c.Address, err)
	}
	return nil
}

// Raw asks for a path and returns the answer as it came.
func (c *Client) Raw(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.String()+"/"+path, nil)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the answer: %w", c.unreachable(err))
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answers %s: %s", c.Address, answer.Status, bytes.TrimSpace(body[:min(len(body), 500)]))
	}
	return body, nil
}

// unreachable says what an administrator can do about it.
func (c *Client) unreachable(err error) error {
	if inner := new(url.Error); errors.As(err, &inner) {
		err = inner.Err // without the URL, which Address says shorter
	}
	switch {
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ENOENT):
		return fmt.Errorf("nobody answers at %s (%w): is ftpgate running, and is this its status.listen?", c.Address, err)
	case os.IsTimeout(err):
		return fmt.Errorf("no answer from %s within %s: another program may listen there (ss -ltnp), a filter drop it, or the daemon hang (systemctl status ftpgate)", c.Address, c.http.Timeout)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("%s: %w: ask as root or as a member of the socket's group", c.Address, err)
	}
	return fmt.Errorf("asking %s: %w", c.Address, err)
}
