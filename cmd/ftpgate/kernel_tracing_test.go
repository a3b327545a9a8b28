//go:build kernel

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
)

// tracing is a running ftpgate trace.
type tracing struct {
	t       *testing.T
	process *lab.Process
	file    string // the packets
}

// trace starts ftpgate trace on the router, and waits until it watches.
func (r *router) trace(t *testing.T, args ...string) *tracing {
	t.Helper()
	tr := &tracing{t: t, file: filepath.Join(t.TempDir(), "trace.pcapng")}
	args = append([]string{"trace", "--interface", "lan0", "--interface", "wan0", "--write", tr.file}, args...)
	wishes := lab.StartOptions{Env: []string{"GORACE=atexit_sleep_ms=0"}}
	process, err := r.Host(lab.Router).StartWith(wishes, gatewayBinary, args...)
	if err != nil {
		t.Fatal(err)
	}
	tr.process = process
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("trace said:\n%s", process.Output())
		}
	})
	tr.await("watching lan0, wan0")
	return tr
}

// await waits for a text in the story.
func (tr *tracing) await(text string) {
	tr.t.Helper()
	ctx, cancel := context.WithTimeout(tr.t.Context(), patience)
	defer cancel()
	if err := tr.process.WaitOutput(ctx, text); err != nil {
		tr.t.Fatalf("waiting for %q in the story: %v", text, err)
	}
}

// stop ends the trace as Ctrl-C does, and returns the story.
func (tr *tracing) stop() string {
	tr.t.Helper()
	if err := tr.process.Signal(syscall.SIGINT); err != nil {
		tr.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tr.t.Context(), patience)
	defer cancel()
	if err := tr.process.Wait(ctx); err != nil {
		tr.t.Fatal(err)
	}
	return tr.process.Output()
}

// tshark decodes a capture by itself: one line of fields, separated by tabs, for each packet that the filter chooses. What begins
// with a hyphen is an option, and its value.
func tshark(t *testing.T, file, filter string, fields ...string) []string {
	t.Helper()
	args := []string{"-n", "-r", file, "-Y", filter, "-T", "fields"}
	for i, f := range fields {
		if strings.HasPrefix(f, "-") {
			args = append(args, fields[i:]...)
			break
		}
		args = append(args, "-e", f)
	}
	cmd := exec.CommandContext(t.Context(), "tshark", args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark %s: %v\n%s", strings.Join(args, " "), err, &complaint)
	}
	if strings.Contains(complaint.String(), "malformed") || strings.Contains(complaint.String(), "cut short") {
		t.Errorf("tshark says of %s: %s", file, &complaint)
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
}

// dumpcap is a witness: it captures the same packets with libpcap.
func (r *router) dumpcap(t *testing.T) (file string, stop func()) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "witness.pcapng")
	p, err := r.Host(lab.Router).Start("dumpcap", "-q", "-i", "lan0", "-i", "wan0", "-w", file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.WaitOutput(ctx, "File:"); err != nil {
		t.Fatal(err)
	}
	return file, func() {
		t.Helper()
		eventually(t, "the witness's last packets", func() bool { // it gives away what it still buffers
			raw, err := os.ReadFile(file)
			return err == nil && bytes.Count(raw, []byte("221 Goodbye")) >= 2
		})
		if err := p.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := p.Wait(ctx); err != nil {
			t.Fatalf("dumpcap: %v\n%s", err, p.Output())
		}
	}
}

var (
	commandLine = regexp.MustCompile(`(?m)\] client: (.*)$`)
	synLine     = regexp.MustCompile(`(?m)data: (?:SYN|it goes on as) (\S+) → (\S+) \((\S+)\)`)
	bytesLine   = regexp.MustCompile(`(?m)data: closed after .*, (\d+) bytes from the (client|server)$`)
)

// all returns the first group of each match.
func all(text string, pattern *regexp.Regexp) (found []string) {
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		found = append(found, strings.Join(m[1:], " "))
	}
	return found
}

// sameAsTshark compares a story with what tshark reads in a capture of the same packets: the client's commands, word by
// word, and the SYNs of data connections on both interfaces.
func sameAsTshark(t *testing.T, story, capture, client string) {
	t.Helper()
	ip := "ip"
	if strings.Contains(client, ":") {
		ip = "ipv6"
	}
	var said []string
	for _, line := range tshark(t, capture, "ftp.request && "+ip+".src=="+client+" && frame.interface_name==\""+nearOf(client)+"\"",
		"ftp.request.command", "ftp.request.arg") {
		verb, arg, _ := strings.Cut(line, "\t")
		if verb == "PASS" {
			arg = "****"
		}
		said = append(said, strings.TrimSpace(verb+" "+arg))
	}
	if got := all(story, commandLine); len(said) == 0 || !slices.Equal(got, said) {
		t.Errorf("commands of the client\ntrace:  %q\ntshark: %q", got, said)
	}
	var dialled []string
	for _, line := range tshark(t, capture, "tcp.flags.syn==1 && tcp.flags.ack==0 && tcp.port!=21",
		ip+".src", "tcp.srcport", ip+".dst", "tcp.dstport", "frame.interface_name") {
		f := strings.Split(line, "\t")
		dialled = append(dialled, fmt.Sprintf("%s %s %s", net.JoinHostPort(f[0], f[1]), net.JoinHostPort(f[2], f[3]), f[4]))
	}
	got := all(story, synLine)
	slices.Sort(got) // dumpcap has a thread for each interface, and their order is not that of the packets
	slices.Sort(dialled)
	if len(dialled) == 0 || !slices.Equal(got, dialled) {
		t.Errorf("SYNs of data connections\ntrace:  %q\ntshark: %q", got, dialled)
	}
}

// nearOf is the interface by which a client's packets come.
func nearOf(client string) string {
	if strings.HasPrefix(client, "192.168.50.") || strings.HasPrefix(client, "2001:db8:50:") {
		return "lan0"
	}
	return "wan0"
}

// noSecret looks for a password in everything that trace left behind.
func (tr *tracing) noSecret(story string, secrets ...string) {
	tr.t.Helper()
	raw, err := os.ReadFile(tr.file)
	if err != nil {
		tr.t.Fatal(err)
	}
	for _, secret := range secrets {
		if bytes.Contains(raw, []byte(secret)) {
			tr.t.Errorf("the file has the password %q", secret)
		}
		if strings.Contains(story, secret) {
			tr.t.Errorf("the story has the password %q", secret)
		}
	}
}

// read is the story that ftpgate tells of a file.
func (tr *tracing) read(file string, args ...string) string {
	tr.t.Helper()
	story, complaint, code := command(tr.t, append([]string{"trace", "--read", file}, args...)...)
	if code != 0 {
		tr.t.Fatalf("reading %s: %s", file, complaint)
	}
	return story
}

// mustTell wants patterns in a story, in this order.
func mustTell(t *testing.T, story string, patterns ...string) {
	t.Helper()
	rest := story
	for _, p := range patterns {
		at := regexp.MustCompile(p).FindStringIndex(rest)
		if at == nil {
			t.Errorf("the story does not tell, or not in this place: %s", p)
			return
		}
		rest = rest[at[1]:]
	}
}

// commented looks for comments on the packets that matter, as tshark reads them.
func (tr *tracing) commented(client string) {
	tr.t.Helper()
	for filter, want := range map[string]string{
		"ftp.request.command==\"PORT\" && ip.src==" + client + " && frame.interface_name==\"" + nearOf(client) + "\"": "session 1: client: PORT ",
		"ftp.request.command==\"PASS\" && ip.src==" + client + " && frame.interface_name==\"" + nearOf(client) + "\"": "session 1: client: PASS ****",
		"ftp.response.code==226":                                  "session 1: server: 226",
		"tcp.flags.syn==1 && tcp.flags.ack==0 && tcp.port!=21":    "session 1: data: ",
		"tcp.flags.syn==1 && tcp.flags.ack==0 && tcp.dstport==21": "session 1: ",
	} {
		comments := tshark(tr.t, tr.file, filter, "frame.comment")
		if len(comments) == 0 {
			tr.t.Errorf("no packet is %s, or none has a comment", filter)
		}
		found := false
		for _, c := range comments {
			found = found || strings.Contains(c, want)
		}
		if !found {
			tr.t.Errorf("no comment on %s has %q: %q", filter, want, comments)
		}
	}
	// What was overwritten has a checksum that is right again.
	for _, status := range tshark(tr.t, tr.file, "ftp.request.command==\"PASS\"", "tcp.checksum.status", "-o", "tcp.check_checksum:TRUE") {
		if status != "1" {
			tr.t.Errorf("a packet with a password has the checksum status %s", status)
		}
	}
}
