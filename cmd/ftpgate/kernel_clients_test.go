//go:build kernel

package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// firstPort is the control port of the first kind of server in the matrix; the
// others follow, so that all of them run on one host.
const firstPort = 2101

// lane is one way through the router to one server. Its clients come one after
// the other, so that of the sessions in the gateway's log each one's is known.
type lane struct {
	name   string
	number int // of the server among their kinds
	server *peers.Server
	from   *lab.Host
	dials  netip.AddrPort
	client netip.Addr // as the gateway sees it
}

// TestClients carries files between every client and every server, in every
// mode that the client can be made to use, in both directions, over both
// families: the whole matrix on one iptables, a quarter of it on the other.
func TestClients(t *testing.T) {
	eachVariant(t, lab.Options{}, func(t *testing.T, r *router) {
		if err := r.Host(lab.Client).PreferULA(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		processes := r.lanes()
		var wg sync.WaitGroup
		defer wg.Wait()
		for _, lanes := range processes {
			wg.Go(func() {
				for _, l := range lanes {
					r.ride(t, l)
				}
			})
		}
	})
}

// ride takes every client through a lane.
func (r *router) ride(t *testing.T, l *lane) {
	for i, kind := range peers.ClientKinds() {
		for j, mode := range kind.Modes(l.dials.Addr().Is6()) {
			if r.Variant() == lab.Legacy && (i+j+l.number)%4 != 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s, %s, %s", l.name, kind.Name, mode), func(t *testing.T) {
				v := &visit{
					t: t, r: r, lane: l, kind: kind, dir: t.TempDir(),
					target: peers.Target{From: l.from, Server: l.dials, Mode: mode},
				}
				v.everything()
			})
		}
	}
}

// lanes starts a server of each kind on either side, and the gateway for them.
// The lanes of one process of a server are together, to be used one after the
// other: pyftpdlib takes one session's socket for another's when two of them
// connect for data over IPv6 at the same time.
func (r *router) lanes() (processes [][]*lane) {
	config := "interfaces: {lan: [lan0], wan: [wan0]}\nlog: {level: debug}\nrules:\n"
	for i, kind := range peers.ServerKinds() {
		port := uint16(firstPort + 10*i) // some servers take the port below for data
		config += fmt.Sprintf("  - {name: out-%[1]s, direction: outbound, ports: [%[2]d]}\n"+
			"  - {name: in-%[1]s, direction: inbound, ports: [%[2]d], server: [\"192.168.50.20:%[2]d\", \"[2001:db8:50::20]:%[2]d\"]}\n", kind.Name, port)
		o := peers.ServerOptions{Port: port, Passive: passiveRange}
		outside, inside := r.serve(kind, lab.Outside, o), r.serve(kind, lab.Server, o)
		client, beyond, gateway := r.Host(lab.Client), r.Host(lab.Outside), r.Host(lab.Router)
		for _, lanes := range [][]*lane{
			{{name: "outbound, IPv4", server: outside, from: client, client: client.IPv4(), dials: outside.Address(false)}},
			{{name: "outbound, IPv6", server: outside, from: client, client: client.ULA(), dials: outside.Address(true)}},
			{{name: "inbound, IPv4", server: inside, from: beyond, client: beyond.IPv4(), dials: netip.AddrPortFrom(gateway.IPv4(), port)}},
			{
				{name: "inbound, IPv6", server: inside, from: beyond, client: beyond.IPv6(), dials: netip.AddrPortFrom(gateway.IPv6(), port)},
				{name: "inbound, IPv6 routed", server: inside, from: beyond, client: beyond.IPv6(), dials: inside.Address(true)},
			},
		} {
			for _, l := range lanes {
				l.name, l.number = kind.Name+", "+l.name, i
			}
			processes = append(processes, lanes)
		}
	}
	r.start(config)
	return processes
}

// passiveRange keeps the servers' data ports off those that no data connection
// may go to since other services live there: Pure-FTPd takes any from 1024.
var passiveRange = peers.PortRange{First: 40000, Last: 45000}

// visit is one client at one server in one mode.
type visit struct {
	*lane
	t      *testing.T
	r      *router
	kind   peers.ClientKind
	target peers.Target
	dir    string // on this machine
	mark   int    // how much had been logged before the client was started
}

// matrixFile is the size of a file in the matrix, in bytes: some dozens of segments.
const matrixFile = 200_000

// everything uploads, lists, downloads, resumes and moves several files.
func (v *visit) everything() {
	content, local := random(matrixFile), filepath.Join(v.dir, "file.bin")
	// One directory for each lane and client, since they run at the same time.
	folder := strings.NewReplacer(", ", "-", " ", "").Replace(v.t.Name()[strings.LastIndex(v.t.Name(), "/")+1:])
	if err := v.server.WriteFile(folder+"/present", nil); err != nil {
		v.t.Fatal(err)
	}
	file := peers.File{Remote: folder + "/file.bin", Local: local}
	v.write(local, content)
	v.do("upload", 1, matrixFile, func() (string, error) { return v.kind.Put(v.t.Context(), v.target, file) })
	if got, err := v.server.ReadFile(file.Remote); err != nil || !bytes.Equal(got, content) {
		v.t.Fatalf("the server has %d bytes of %d, or others: %v", len(got), len(content), err)
	}
	listing := v.do("list", 1, 0, func() (string, error) { return v.kind.List(v.t.Context(), v.target, folder) })
	if !strings.Contains(listing, "file.bin") {
		v.t.Errorf("the listing has no file.bin:\n%s", listing)
	}
	v.write(local, nil)
	v.do("download", 1, matrixFile, func() (string, error) { return v.kind.Get(v.t.Context(), v.target, file) })
	v.compare(local, content)
	v.write(local, content[:70_000])
	said := v.do("resume", 1, matrixFile-70_000, func() (string, error) { return v.kind.Resume(v.t.Context(), v.target, file) })
	v.compare(local, content)
	if !strings.Contains(said, "REST 70000") {
		v.t.Errorf("it has not resumed:\n%s", said)
	}
	v.several(folder, 4)
}

// several downloads many small files in one session, and uploads them in another.
func (v *visit) several(folder string, count int) {
	var files []peers.File
	for i := range count {
		name := fmt.Sprintf("small%d.txt", i)
		files = append(files, peers.File{Remote: folder + "/" + name, Local: filepath.Join(v.dir, name)})
		if err := v.server.WriteFile(folder+"/"+name, []byte(strings.Repeat(name, i))); err != nil {
			v.t.Fatal(err)
		}
	}
	v.do("download of several", count, 0, func() (string, error) { return v.kind.Get(v.t.Context(), v.target, files...) })
	for i, f := range files {
		v.compare(f.Local, []byte(strings.Repeat(filepath.Base(f.Local), i)))
		v.write(f.Local, []byte(strings.Repeat("up"+f.Remote, i)))
	}
	v.do("upload of several", count, 0, func() (string, error) { return v.kind.Put(v.t.Context(), v.target, files...) })
	for i, f := range files {
		if got, err := v.server.ReadFile(f.Remote); err != nil || string(got) != strings.Repeat("up"+f.Remote, i) {
			v.t.Errorf("%s at the server: %d bytes, %v", f.Remote, len(got), err)
		}
	}
}

// do runs the client, and looks up in the gateway's log what it really said. A
// count of bytes that is not known is 0.
func (v *visit) do(what string, transfers int, size uint64, run func() (string, error)) string {
	v.t.Helper()
	v.mark = len(v.r.records())
	before := v.r.sentAgain(v.t)
	said, err := run()
	if err != nil {
		v.t.Fatalf("%s: %v\nThe gateway:\n%s", what, err, v.logged())
	}
	end := v.session(what)
	if end.Transfers != transfers || end.Failed != 0 || end.User != peers.User || size > 0 && !v.r.about(v.t, end.Bytes, size, before) {
		v.t.Errorf("%s: the log has %d transfers, %d failed, %d bytes of user %q; not %d, 0, %d of %s", what,
			end.Transfers, end.Failed, end.Bytes, end.User, transfers, size, peers.User)
	}
	verbs := of(ofSession(v.r.log.since(v.mark), end.Session), announces)
	if len(verbs) < transfers || !strings.Contains(said, string(v.target.Mode)) {
		v.t.Errorf("%s: %d addresses were negotiated for %d transfers", what, len(verbs), transfers)
	}
	for _, rec := range verbs {
		if rec.Verb != string(v.target.Mode) {
			v.t.Errorf("%s: the client used %s (%s)", what, rec.Verb, rec.Said)
		}
	}
	return said
}

// session waits for the end of the one session that the client has had.
func (v *visit) session(what string) record {
	v.t.Helper()
	var news []record
	eventually(v.t, "the end of the session of "+what, func() bool {
		news = nil
		for _, rec := range of(v.r.log.since(v.mark), finished) {
			if v.owns(rec) {
				news = append(news, rec)
			}
		}
		return len(news) > 0
	})
	if len(news) > 1 {
		v.t.Errorf("%s took %d sessions", what, len(news))
	}
	return news[len(news)-1]
}

// owns says whether a log line is of this lane.
func (l *lane) owns(rec record) bool {
	client, err := netip.ParseAddrPort(rec.Client)
	server, err2 := netip.ParseAddrPort(rec.Server)
	return err == nil && err2 == nil && client.Addr() == l.client && server.Port() == l.dials.Port()
}

// logged is what the gateway has logged of this client.
func (v *visit) logged() string {
	var b strings.Builder
	all := v.r.log.since(v.mark)
	for _, first := range of(all, begun) {
		if !v.owns(first) {
			continue
		}
		for _, rec := range ofSession(all, first.Session) {
			fmt.Fprintf(&b, "%+v\n", rec)
		}
	}
	return b.String()
}

func (v *visit) write(name string, content []byte) {
	v.t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		v.t.Fatal(err)
	}
}

func (v *visit) compare(name string, content []byte) {
	v.t.Helper()
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, content) {
		v.t.Errorf("%s has %d bytes of %d, or others: %v", filepath.Base(name), len(got), len(content), err)
	}
}
