package status

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// minToken is the least length of a token, in bytes: 96 bits in base64.
const minToken = 16

// Errors of ReadToken and ReadCertificate that are not the operating system's.
var (
	// ErrExposed: everybody on this host can read a secret, or write what we trust.
	ErrExposed = errors.New("open to every user of this host")
	ErrShort   = errors.New("no token on its first line")
	// ErrIrregular: a directory, a pipe or a device.
	ErrIrregular = errors.New("not a regular file")
)

// What the users of this host who are neither its owner nor of its group must not
// be able to do with a file. Its group may read it: the daemon's own user, or who
// asks with the token.
const (
	othersWrite fs.FileMode = 0o002
	othersRead  fs.FileMode = 0o004
)

// openRegular opens a regular file: a pipe would wait for somebody who writes.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, cmp.Or(err, error(&fs.PathError{Op: "read", Path: path, Err: ErrIrregular}))
	}
	return f, nil
}

// closed refuses a file that others may open.
func closed(f *os.File, to fs.FileMode) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Mode()&to != 0 {
		return fmt.Errorf("%s has mode %04o: %w", f.Name(), info.Mode().Perm(), ErrExposed)
	}
	return nil
}

// ReadToken returns the token in a file that nobody else can read.
func ReadToken(path string) (string, error) {
	f, err := openRegular(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := closed(f, othersRead|othersWrite); err != nil {
		return "", err
	}
	return firstLine(f)
}

// readToken returns the token in a file of a reader's, who guards it as he likes.
func readToken(path string) (string, error) {
	f, err := openRegular(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return firstLine(f)
}

func firstLine(f *os.File) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(f, 4096)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("%s: %w", f.Name(), err)
	}
	line = strings.TrimSpace(line)
	if len(line) < minToken {
		return "", fmt.Errorf("%s: %w: it has %d characters, and needs %d", f.Name(), ErrShort, len(line), minToken)
	}
	return line, nil
}

// ReadCertificate returns a certificate and its key, in PEM. The key is a secret
// as the token is.
func ReadCertificate(certificate, key string) (tls.Certificate, error) {
	public, err := readPEM(certificate, othersWrite)
	if err != nil {
		return tls.Certificate{}, err
	}
	secret, err := ReadKey(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(public, secret)
}

// ReadKey returns what is in the file of a certificate's key.
func ReadKey(path string) ([]byte, error) { return readPEM(path, othersRead|othersWrite) }

func readPEM(path string, closedTo fs.FileMode) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := closed(f, closedTo); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, 1<<20))
}
