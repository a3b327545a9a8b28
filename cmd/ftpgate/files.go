package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/cmd/ftpgate/doctor"
	"github.com/ftpgate/ftpgate/configs"
	"github.com/ftpgate/ftpgate/proxy/audit"
	"github.com/ftpgate/ftpgate/proxy/status"
)

// named is a file that the configuration names and the daemon opens.
type named struct {
	key, path string
	writes    bool
	make      func(r runner, path string) string // the command that makes it; nil: there is none
	try       func() error                       // does as the daemon, and changes nothing
}

func makeToken(r runner, path string) string {
	return fmt.Sprintf("install -D -m 0640 -g %s /dev/null %s && head -c 24 /dev/urandom | base64 > %[2]s", r.group, path)
}

func makeDirectory(r runner, path string) string {
	return fmt.Sprintf("install -d -m 0750 -o %s -g %s %s", r.user, r.group, path)
}

// may asks the kernel what it lets this thread do.
func may(doing, path string, mode uint32) error {
	if err := unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: doing, Path: path, Err: err}
	}
	return nil
}

// statusFiles are those of the status endpoint.
func statusFiles(c *configs.Config) (all []named) {
	s := c.Status
	if path := s.TokenFile; path != "" {
		all = append(all, named{key: "status.token_file", path: path, make: makeToken, try: func() error { _, err := status.ReadToken(path); return err }})
	}
	if s.TLSCertificate != "" {
		all = append(all, named{key: "status.tls_key", path: s.TLSKey, try: func() error { _, err := status.ReadKey(s.TLSKey); return err }},
			named{key: "status.tls_certificate", path: s.TLSCertificate, try: func() error {
				_, err := status.ReadCertificate(s.TLSCertificate, s.TLSKey)
				if _, bad := status.ReadKey(s.TLSKey); bad != nil { // which is told of already
					return nil
				}
				return err
			}})
	}
	if path, local := strings.CutPrefix(s.Listen, "unix:"); local {
		all = append(all, named{key: "status.listen", path: path, writes: true, make: makeDirectory,
			try: func() error { return may("make a socket in", filepath.Dir(path), unix.W_OK|unix.X_OK) }})
	}
	return all
}

// auditedFiles are those of the audit.
func auditedFiles(c *configs.Config) (all []named) {
	for _, a := range [][2]string{{"audit.transfers", c.Audit.Transfers}, {"audit.xferlog", c.Audit.Xferlog}} {
		if key, path := a[0], a[1]; path != "" {
			all = append(all, named{key: key, path: path, writes: true, make: makeDirectory, try: func() error { return audit.Try(path) }})
		}
	}
	return all
}

func filesOf(c *configs.Config) []named { return append(statusFiles(c), auditedFiles(c)...) }

// troubles are the files that the runner cannot open, in words. Those of which this process cannot know it are unsure.
func (r runner) troubles(files []named) (found []doctor.Trouble) {
	for _, n := range files {
		err := r.shut(n)
		if err == nil {
			err = r.as(n.try)
		}
		if err == nil || r.gets(n, err) {
			continue
		}
		f := doctor.Trouble{Key: n.key, Path: n.path, Problem: words(err, n.path), Cure: r.cure(n, err), Unsure: errors.Is(err, fs.ErrPermission) && !r.sure()}
		if r.uid != 0 && errors.Is(err, fs.ErrPermission) {
			f.Problem = fmt.Sprintf("user %s, %s: %s", r.user, r.why, f.Problem)
		}
		if f.Unsure {
			f.Problem = fmt.Sprintf("this user may not look whether user %s, %s, can open it", r.user, r.why)
			f.Cure = "ask as root"
		}
		found = append(found, f)
	}
	return found
}

// errConfined is what a sandbox of systemd does not let its daemon do.
var errConfined = errors.New("no access from " + unit)

// shut is what the unit keeps from its daemon, whatever the modes of files say.
func (r runner) shut(n named) error {
	switch u := r.unit; {
	case isBelow(n.path, u.hidden):
		return fmt.Errorf("%w: its ProtectHome= or InaccessiblePaths= hide %s", errConfined, filepath.Dir(n.path))
	case n.writes && u.confined && len(u.writable) == 0:
		return fmt.Errorf("%w: its ProtectSystem=strict lets it write nowhere", errConfined)
	case n.writes && u.confined && !isBelow(n.path, u.writable):
		return fmt.Errorf("%w: its ProtectSystem=strict lets it write below %s only", errConfined, strings.Join(u.writable, ", "))
	}
	return nil
}

// gets tells whether what is missing is there as soon as the unit starts.
func (r runner) gets(n named, err error) bool {
	made := isBelow(n.path, r.unit.credentials)
	if n.writes {
		made = slices.Contains(r.unit.made, filepath.Dir(n.path))
	}
	return made && errors.Is(err, fs.ErrNotExist)
}

// words are an error without the path, which is told beside it.
func words(err error, path string) string {
	var failed *fs.PathError
	if errors.As(err, &failed) && failed.Path == path {
		return fmt.Sprintf("cannot %s it: %v", failed.Op, failed.Err)
	}
	return err.Error()
}

// cure is what to do about an error, a command if there is one.
func (r runner) cure(n named, err error) string {
	makes := n.path
	if n.writes {
		makes = filepath.Dir(n.path)
	}
	switch {
	case errors.Is(err, errConfined) && n.writes:
		cure := fmt.Sprintf("let the unit write there: systemctl edit %s, [Service] ReadWritePaths=%s", unit, makes)
		if len(r.unit.writable) > 0 {
			cure = fmt.Sprintf("name a file below %s, or %s", r.unit.writable[0], cure)
		}
		return cure
	case errors.Is(err, errConfined):
		return "put it below /etc/ftpgate, and name it there"
	case errors.Is(err, fs.ErrNotExist) && n.make != nil:
		return "make it: " + n.make(r, makes)
	case errors.Is(err, fs.ErrNotExist):
		return "put it there, or name the right file in " + n.key
	case errors.Is(err, status.ErrExposed):
		return "chmod o= " + n.path
	case errors.Is(err, status.ErrShort):
		return "head -c 24 /dev/urandom | base64 > " + n.path
	case errors.Is(err, unix.EROFS):
		return "name a file on a file system that can be written"
	case errors.Is(err, unix.EISDIR), errors.Is(err, unix.ENOTDIR), errors.Is(err, status.ErrIrregular):
		return "name a file in " + n.key
	case errors.Is(err, fs.ErrPermission) && n.writes:
		return fmt.Sprintf("give user %s a directory of its own, and name a file there: %s", r.user, makeDirectory(r, "/var/log/ftpgate"))
	case errors.Is(err, fs.ErrPermission):
		if d := r.impassable(n.path); d != "" {
			return fmt.Sprintf("user %s may not pass %s: put the file below /etc/ftpgate, and name it there", r.user, d)
		}
		return fmt.Sprintf("chgrp %[2]s %[1]s && chmod g+r %[1]s", n.path, r.group)
	}
	return ""
}

// impassable is the first directory on the way to a file that the runner may not pass; "": none.
func (r runner) impassable(path string) (found string) {
	words := strings.Split(strings.TrimPrefix(filepath.Dir(path), "/"), "/")
	_ = r.as(func() error {
		for i := range words {
			d := "/" + strings.Join(words[:i+1], "/")
			if may("pass", d, unix.X_OK) != nil {
				found = d
				return nil
			}
		}
		return nil
	})
	return found
}

// placed are troubles as findings about the file of the configuration.
func placed(path string, troubles []doctor.Trouble) (sure configs.Errors, unsure []configs.Warning) {
	for _, t := range troubles {
		e := configs.Place(path, t.Key)
		e.Problem, e.Cure = t.Problem, t.Cure
		if t.Unsure {
			unsure = append(unsure, configs.Warning(*e))
		} else {
			sure = append(sure, e)
		}
	}
	return sure, unsure
}

// ourselves is this process as the runner.
func ourselves() runner {
	groups, _ := unix.Getgroups()
	return known(unix.Geteuid(), unix.Getegid(), groups, "as which it was started")
}
