//go:build kernel

package main

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// TestClientAsSeen: the server's own log shows the client, or the router that
// hides it, as the rule has it.
func TestClientAsSeen(t *testing.T) {
	r := newRouter(t, lab.Options{})
	servers := map[string]*peers.Server{
		lab.Outside: r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{}),
		lab.Server:  r.serve(peers.Vsftpd(), lab.Server, peers.ServerOptions{}),
	}
	for _, f := range flows {
		t.Run(f.name, func(t *testing.T) {
			r := r.in(t)
			setting := ""
			if f.preserve != "" {
				setting = ", preserve_client_address: " + f.preserve
			}
			r.start(fmt.Sprintf(usualRules, setting, setting))
			defer r.stop()
			var o dialogue.Options
			if f.source != "" {
				o.Source = netip.AddrPortFrom(netip.MustParseAddr(f.source), 0)
			}
			logins := func() (all, expected int) {
				said := strings.ReplaceAll(servers[f.server].Log(), "::ffff:", "")
				return strings.Count(said, "OK LOGIN: Client"), strings.Count(said, fmt.Sprintf("OK LOGIN: Client %q", f.seenAs))
			}
			all, expected := logins()
			c := login(t, r.Host(f.client), f.dials, o)
			eventually(t, "the server's log", func() bool { now, _ := logins(); return now > all })
			if _, now := logins(); now != expected+1 {
				t.Errorf("the server has seen another client than %s:\n%s", f.seenAs, servers[f.server].Log())
			}
			r.quit(t, c)
		})
	}
}

// TestHairpin: programs on the LAN that dial the public address of the server
// beside them.
func TestHairpin(t *testing.T) {
	eachVariant(t, lab.Options{}, func(t *testing.T, r *router) {
		server := r.serve(peers.Vsftpd(), lab.Server, peers.ServerOptions{Passive: passiveRange})
		content := random(50_000)
		if err := server.WriteFile("f.bin", content); err != nil {
			t.Fatal(err)
		}
		r.start(plain)
		for _, dials := range []string{"203.0.113.1:21", "[2001:db8:113::1]:21"} {
			target := peers.Target{From: r.Host(lab.Client), Server: mustAddrPort(t, dials)}
			for _, kind := range []peers.ClientKind{peers.Curl(), peers.Ftplib()} {
				for _, target.Mode = range kind.Modes(target.Server.Addr().Is6()) {
					t.Run(fmt.Sprintf("%s, %s, %s", kind.Name, target.Mode, dials), func(t *testing.T) {
						v := &visit{t: t, r: r, kind: kind, dir: t.TempDir(), target: target}
						local := filepath.Join(v.dir, "f.bin")
						if _, err := kind.Get(t.Context(), target, peers.File{Remote: "f.bin", Local: local}); err != nil {
							t.Fatal(err)
						}
						v.compare(local, content)
					})
				}
			}
		}
		r.stop()
	})
}
