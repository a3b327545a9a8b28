//go:build kernel

package main

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// Response codes of RFC 1035 4.1.1, and one for a server that says nothing.
const (
	noError  = 0
	servFail = 2
	nxDomain = 3
	silent   = -1
)

// nameServer answers every question alike.
type nameServer struct {
	mu      sync.Mutex
	code    int
	address netip.Addr // for questions of its family
	asked   int
}

func (n *nameServer) say(code int, address netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.code, n.address, n.asked = code, address, 0
}

func (n *nameServer) wasAsked() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked > 0
}

// answer writes the answer to a question with one name (RFC 1035 4.1).
func (n *nameServer) answer(question []byte) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	end := 12
	for end < len(question) && question[end] != 0 {
		end += int(question[end]) + 1
	}
	if end += 5; n.code == silent || end > len(question) {
		return nil
	}
	const a, aaaa = 1, 28
	kind := binary.BigEndian.Uint16(question[end-4:])
	out := append([]byte{}, question[:end]...)
	copy(out[2:], []byte{0x81, 0x80 | byte(n.code), 0, 1, 0, 0, 0, 0, 0, 0}) // an answer, to one question
	if n.code != noError || kind != a && kind != aaaa || n.address.Is4() != (kind == a) {
		return out
	}
	out[7] = 1
	out = append(out, 0xc0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 1, 0, byte(n.address.BitLen()/8)) // for a second
	return append(out, n.address.AsSlice()...)
}

// resolves starts a name server outside, which programs on the router ask.
func (r *router) resolves(t *testing.T) *nameServer {
	t.Helper()
	n := &nameServer{}
	var socket *net.UDPConn
	err := r.Host(lab.Outside).Do(func() (err error) {
		socket, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(203, 0, 113, 20), Port: 53})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	go func() {
		for buffer := make([]byte, 1500); ; {
			length, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			if out := n.answer(buffer[:length]); out != nil {
				socket.WriteTo(out, from)
			}
		}
	}()
	// What ip-netns(8) puts in the place of /etc/resolv.conf for programs of that namespace.
	dir := filepath.Join("/etc/netns", r.Host(lab.Router).Namespace)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "resolv.conf"), []byte("nameserver 203.0.113.20\noptions timeout:1 attempts:1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.env = append(r.env, "GODEBUG=netdns=go") // as the static binary does
	return n
}

// TestAdvertisedName: what is announced is what the name resolves to now. A resolver that fails, or says what cannot be
// true, costs a 425 and is logged; nothing false is announced.
func TestAdvertisedName(t *testing.T) {
	r := newRouter(t, lab.Options{})
	names := r.resolves(t)
	r.serve(peers.Pyftpdlib(), lab.Server, peers.ServerOptions{})
	r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{})
	r.start(plain + "advertise: ftp.example.test\n")
	outside, client := r.Host(lab.Outside), r.Host(lab.Client)
	in := login(t, outside, "203.0.113.1:21", dialogue.Options{})
	out := login(t, client, "203.0.113.20:21", dialogue.Options{})
	six := login(t, client, "[2001:db8:113::20]:21", dialogue.Options{Source: netip.MustParseAddrPort("[fd50::10]:0")})
	for what, c := range map[string]struct {
		code    int
		address string
	}{
		"unspecified": {noError, "0.0.0.0"}, "this network": {noError, "0.1.2.3"}, "loopback": {noError, "127.0.0.1"},
		"multicast": {noError, "224.0.0.1"}, "broadcast": {noError, "255.255.255.255"}, "link-local": {noError, "169.254.1.1"},
		"unspecified IPv6": {noError, "::"}, "loopback IPv6": {noError, "::1"}, "multicast IPv6": {noError, "ff02::1"},
		"mapped": {noError, "::ffff:198.51.100.77"}, "no such name": {nxDomain, "198.51.100.77"}, "failure": {servFail, "198.51.100.77"},
		"silence": {silent, "198.51.100.77"},
	} {
		t.Run(what, func(t *testing.T) {
			names.say(c.code, netip.MustParseAddr(c.address))
			opened := strings.Count(r.daemon.Output(), announces)
			begin := time.Now()
			if _, err := in.Want(425, "PASV"); err != nil {
				t.Error(err)
			}
			if _, err := out.Want(425, dialogue.Announcement(dialogue.PORT, netip.AddrPortFrom(out.Local().Addr(), 40000))); err != nil {
				t.Error(err)
			}
			if _, err := six.Want(425, dialogue.Announcement(dialogue.EPRT, netip.AddrPortFrom(six.Local().Addr(), 40000))); err != nil {
				t.Error(err)
			}
			t.Logf("refused after %s", time.Since(begin).Round(time.Millisecond))
			if !names.wasAsked() {
				t.Error("nobody has asked, so this test shows nothing")
			}
			if n := strings.Count(r.daemon.Output(), announces); n != opened {
				t.Error("something was announced")
			}
			if r.gates() != "" {
				t.Errorf("a pinhole is open: %s", r.gates())
			}
		})
	}
	r.await("resolving the advertised address")
	names.say(noError, netip.MustParseAddr("198.51.100.77"))
	is := func() string {
		c := login(t, outside, "203.0.113.1:21", dialogue.Options{})
		defer c.Close()
		d, err := c.Open(dialogue.PASV)
		if err != nil {
			t.Fatal(err)
		}
		return d.Announced.Addr().String()
	}
	if now := is(); now != "198.51.100.77" {
		t.Errorf("%s was announced", now)
	}
	names.say(noError, netip.MustParseAddr("198.51.100.78"))
	begin := time.Now()
	for is() != "198.51.100.78" {
		if time.Since(begin) > time.Minute {
			t.Fatal("the name is not resolved again")
		}
		time.Sleep(time.Second)
	}
	t.Logf("followed after %s", time.Since(begin).Round(time.Second))
	r.stop()
}
