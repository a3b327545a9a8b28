package peers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
)

// clientTimeout bounds one run of a client, unless Target says otherwise.
const clientTimeout = 30 * time.Second

// networkTimeout is what clients are told to wait for the network, in seconds.
const networkTimeout = "10"

// Target is whom a client talks to, and how.
type Target struct {
	From   *lab.Host      // where the client runs
	Server netip.AddrPort // what it dials
	Mode   dialogue.Mode
	// Login is the name at the server; empty: User. The password is Password.
	Login string
	// Timeout bounds the whole run. Zero: 30 seconds.
	Timeout time.Duration
}

func (t Target) login() string {
	if t.Login == "" {
		return User
	}
	return t.Login
}

// url is the target's address with a path as a URL, without the login.
func (t Target) url(path string) string {
	u := url.URL{Scheme: "ftp", Host: t.Server.String(), Path: "/" + path}
	return u.String()
}

// File is one file of a transfer: its path at the server, and that on this machine.
type File struct{ Remote, Local string }

// task is what a client is to do.
type task int

const (
	list   task = iota // the first file's Remote is a directory
	get                // all files, in one session
	put                // all files, in one session
	resume             // get the rest of one file, the beginning of which Local holds
)

// ClientKind is a program that speaks FTP as a client.
type ClientKind struct {
	Name string
	// ipv4 and ipv6 are the modes that it can be made to use.
	ipv4, ipv6 []dialogue.Mode
	prepare    func(t Target, what task, files []File, dir string) (invocation, error)
	// check finds failures that the exit status hides; nil: it hides none.
	check func(what task, files []File, output string) error
}

// invocation is how a client is called.
type invocation struct {
	program string
	args    []string
	input   string
}

// ClientKinds lists the clients.
func ClientKinds() []ClientKind {
	return []ClientKind{Curl(), Lftp(), Tnftp(), Ncftp(), Ftplib()}
}

// Modes lists the modes that the client can be made to use with a family of addresses.
func (k ClientKind) Modes(six bool) []dialogue.Mode {
	if six {
		return k.ipv6
	}
	return k.ipv4
}

// List lists a directory. The listing is somewhere in the output, which also holds the dialogue.
func (k ClientKind) List(ctx context.Context, t Target, directory string) (output string, err error) {
	return k.run(ctx, t, list, []File{{Remote: directory}})
}

// Get downloads files in one session. The output holds the dialogue.
func (k ClientKind) Get(ctx context.Context, t Target, files ...File) (output string, err error) {
	return k.run(ctx, t, get, files)
}

// Put uploads files in one session.
func (k ClientKind) Put(ctx context.Context, t Target, files ...File) (output string, err error) {
	return k.run(ctx, t, put, files)
}

// Resume downloads the rest of a file, the beginning of which is there already.
func (k ClientKind) Resume(ctx context.Context, t Target, file File) (output string, err error) {
	return k.run(ctx, t, resume, []File{file})
}

// run calls the program in a home of its own, so that nobody's settings have a say.
func (k ClientKind) run(ctx context.Context, t Target, what task, files []File) (string, error) {
	if six := t.Server.Addr().Is6(); !slices.Contains(k.Modes(six), t.Mode) {
		return "", fmt.Errorf("%s cannot be made to use %s with %s", k.Name, t.Mode, t.Server.Addr())
	}
	if t.Timeout == 0 {
		t.Timeout = clientTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	home, err := os.MkdirTemp("", "ftpgate-client-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(home)
	call, err := k.prepare(t, what, files, home)
	if err != nil {
		return "", fmt.Errorf("%s: %w", k.Name, err)
	}
	program, args, err := withoutDNS(home, call.program, call.args...)
	if err != nil {
		return "", err
	}
	cmd := t.From.Command(ctx, program, args...)
	cmd.Dir = home
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC", "TERM=dumb"}
	cmd.Stdin = strings.NewReader(call.input)
	cmd.WaitDelay = time.Second // children of a killed client may hold its output
	raw, err := cmd.CombinedOutput()
	output := string(raw)
	if err == nil && k.check != nil {
		err = k.check(what, files, output)
	}
	if err != nil {
		err = fmt.Errorf("%s on %s with %s to %s: %w\n%s", k.Name, t.From.Name, t.Mode, t.Server,
			errors.Join(err, ctx.Err()), output)
	}
	return output, err
}
