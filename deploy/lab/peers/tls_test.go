//go:build kernel

package peers_test

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// TestTLS transfers under TLS with every server, which demands that data connections resume the session if it can.
func TestTLS(t *testing.T) {
	ctx, l := newLab(t)
	for _, kind := range peers.ServerKinds() {
		t.Run(kind.Name, func(t *testing.T) {
			server := startServer(ctx, t, kind, l.Host(lab.Outside), peers.ServerOptions{TLS: true, TLSReuse: true})
			roots := x509.NewCertPool()
			if !roots.AppendCertsFromPEM(server.Certificate) {
				t.Fatal("the server's certificate cannot be read")
			}
			for _, six := range []bool{false, true} {
				address := server.Address(six)
				client, err := dialogue.Dial(ctx, l.Host(lab.Third), address, dialogue.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				config := &tls.Config{
					RootCAs: roots, ServerName: address.Addr().String(), ClientSessionCache: tls.NewLRUClientSessionCache(0),
				}
				if err := client.Secure(config, true); err != nil {
					t.Fatal(err)
				}
				if err := client.Login(peers.User, peers.Password); err != nil {
					t.Fatal(err)
				}
				if _, err := client.Want(200, "TYPE I"); err != nil {
					t.Fatal(err)
				}
				checkTransfers(t, client, server, dialogue.EPSV)
				if t.Failed() {
					t.Log(strings.Join(client.Transcript(), "\n"))
				}
			}
		})
	}
}
