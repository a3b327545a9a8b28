package peers

import (
	"fmt"
	"os"
	"path/filepath"
)

// WriteFile puts a file into the served directory, whose sub-directories it makes, as if it had been uploaded.
func (s *Server) WriteFile(name string, content []byte) error {
	path := filepath.Join(s.Root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return err
	}
	for at := path; at != s.Root && at != "/"; at = filepath.Dir(at) {
		if err := os.Chown(at, unprivileged, unprivileged); err != nil {
			return err
		}
	}
	return nil
}

// ReadFile reads a file of the served directory.
func (s *Server) ReadFile(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(s.Root, name))
}

// RemoveFile takes a file out of the served directory.
func (s *Server) RemoveFile(name string) error {
	return os.Remove(filepath.Join(s.Root, name))
}

// CachePath is a file of a server that install.sh unpacked.
func CachePath(name string) (string, error) {
	cache := os.Getenv("FTPGATE_LAB_CACHE")
	if cache == "" {
		cache = "/var/cache/ftpgate-lab"
	}
	path := filepath.Join(cache, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w; `deploy/lab/install.sh test` puts it there", err)
	}
	return path, nil
}
