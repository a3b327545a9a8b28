package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/proxy"
)

// fileMode lets the owner's group read who fetched what, and nobody else.
const fileMode = 0o640

// openFlags: a pipe without a reader must not hang the daemon.
const openFlags = os.O_WRONLY | os.O_APPEND | unix.O_NONBLOCK

// Try tells whether a file can be opened as Open would, and changes nothing: where
// there is none, whether it could be made.
func Try(name string) error {
	if info, err := os.Stat(name); err == nil && info.Mode()&fs.ModeNamedPipe != 0 { // its reader would notice an end
		if err := unix.Faccessat(unix.AT_FDCWD, name, unix.W_OK, unix.AT_EACCESS); err != nil {
			return &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return nil
	}
	file, err := os.OpenFile(name, openFlags, 0)
	switch {
	case err == nil:
		return file.Close()
	case errors.Is(err, fs.ErrNotExist):
		directory := filepath.Dir(name)
		if err := unix.Faccessat(unix.AT_FDCWD, directory, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
			return &fs.PathError{Op: "make a file in", Path: directory, Err: err}
		}
		return nil
	}
	return err
}

// sink is one file, and what goes wrong with it. It belongs to the goroutine.
type sink struct {
	key    string // of the configuration
	render func(*proxy.Transfer) []byte
	log    *zap.Logger

	name     string   // as configured; "": none
	file     *os.File // nil: none, or it could not be opened
	torn     bool     // its last line has no end
	unopened error    // why name could not be opened; nil: it was
	tried    time.Time

	failed   error // of the last write; nil: it succeeded
	lost     uint64
	lastLoss time.Time // zero: none, or it is over and was said
}

// open gives the sink its file; after an error it keeps the one that it has.
func (s *sink) open(name string) error {
	s.name, s.unopened, s.tried = name, nil, time.Now()
	if name == "" {
		s.close()
		return nil
	}
	file, err := os.OpenFile(name, openFlags|os.O_CREATE, fileMode)
	if err != nil {
		s.unopened = fmt.Errorf("%s: %w", s.key, err)
		return s.unopened
	}
	if s.file == nil {
		s.failed = nil // it was that there was none
	}
	s.release()
	s.file, s.torn = file, endsTorn(file)
	return nil
}

// release closes the file. Its data is the kernel's since each write.
func (s *sink) release() {
	if s.file != nil {
		s.file.Close()
	}
	s.file, s.torn = nil, false
}

// reopen is open at a reload.
func (s *sink) reopen(name string) {
	if name == s.name && name == "" {
		return
	}
	if err := s.open(name); err != nil {
		s.log.Error("an audit file cannot be opened, it will be tried again", zap.String("why", err.Error()),
			zap.Bool("old_file_goes_on", s.file != nil))
	}
}

// look tries a file again that could not be opened, and says when losses are over.
func (s *sink) look() {
	if s.unopened != nil && time.Since(s.tried) >= openAgain {
		if err := s.open(s.name); err == nil {
			s.log.Info("an audit file was opened at last", zap.String("file", s.name))
		}
	}
	if !s.lastLoss.IsZero() && s.failed == nil && time.Since(s.lastLoss) >= calm {
		s.log.Warn("audit records are written again", zap.String("file", s.name), zap.Uint64("lost", s.lost))
		s.lost, s.lastLoss = 0, time.Time{}
	}
}

// line is what the file gets of a transfer; nil: nothing.
func (s *sink) line(t *proxy.Transfer) []byte {
	if s.name == "" {
		return nil
	}
	return s.render(t)
}

// write appends a line. A loss is logged when it is the first one.
func (s *sink) write(line []byte) bool {
	if s.failed = s.append(line); s.failed == nil {
		return true
	}
	if s.lastLoss.IsZero() {
		s.log.Error("audit records are being lost, sessions go on", zap.String("why", s.failed.Error()))
	}
	s.lost++
	s.lastLoss = time.Now()
	return false
}

// append writes the line by one write(2), so that no reader sees a part of it. What
// a full disk has taken of it is taken back. Where that is not possible (a file
// with the attribute "append only", a pipe) the next line begins on its own.
func (s *sink) append(line []byte) error {
	if s.file == nil {
		return s.unopened
	}
	if s.torn {
		line = append([]byte("\n"), line...)
	}
	n, err := s.file.Write(line)
	switch {
	case err == nil:
		s.torn = false
		return nil
	case n > 0 && !s.takeBack(n):
		s.torn = line[n-1] != '\n'
	}
	return fmt.Errorf("%s: %w", s.key, err)
}

// takeBack removes the last bytes of the file.
func (s *sink) takeBack(n int) bool {
	info, err := s.file.Stat()
	return err == nil && info.Mode().IsRegular() && info.Size() >= int64(n) && s.file.Truncate(info.Size()-int64(n)) == nil
}

// trouble is what fails at present.
func (s *sink) trouble() error {
	if s.unopened != nil {
		return s.unopened
	}
	return s.failed
}

// close closes the file at the end, or because it is not wanted any more.
func (s *sink) close() {
	if s.lost > 0 {
		s.log.Warn("audit records were lost", zap.String("key", s.key), zap.Uint64("lost", s.lost))
	}
	s.failed, s.lost, s.lastLoss = nil, 0, time.Time{}
	s.release()
}

// endsTorn tells whether the last line of a file has no end: a host that lost
// its power can leave that. A file that cannot be read is taken for whole.
func endsTorn(file *os.File) bool {
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false
	}
	reader, err := os.Open(file.Name())
	if err != nil {
		return false
	}
	defer reader.Close()
	last := make([]byte, 1)
	_, err = reader.ReadAt(last, info.Size()-1)
	return err == nil && last[0] != '\n'
}
