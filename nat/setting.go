package nat

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	accountingSetting = "/proc/sys/net/netfilter/nf_conntrack_acct"
	eventsSetting     = "/proc/sys/net/netfilter/nf_conntrack_events"
)

// Settings changes settings of the kernel and puts them back. What it found is noted in
// a file of Dir until then, so that after a crash the next start still knows it. The
// file bears the number of the network namespace, whose settings these are.
type Settings struct {
	Dir string // "/run/ftpgate": gone with a reboot, as the settings are
}

// EnableAccounting makes conntrack count the bytes and packets of the connections that
// begin from now on. Restore puts the old value back unless somebody else has changed
// it since; it may be called again without effect.
func (s Settings) EnableAccounting() (restore func() error, err error) {
	return s.enable(accountingSetting, "1", "0")
}

// EnableEvents makes conntrack report the beginning and end of connections where that
// was switched off. Restore does as that of EnableAccounting.
func (s Settings) EnableEvents() (restore func() error, err error) {
	return s.enable(eventsSetting, "1", "0")
}

// enable writes on to the setting at path if its value is off, or if an earlier process
// did so and crashed. The file stays open, so that what is restored is the setting of
// the network namespace that was changed.
func (s Settings) enable(path, on, off string) (restore func() error, err error) {
	note, err := s.note(path)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("read a setting of conntrack (is nf_conntrack loaded?): %w", err)
	}
	old, err := readSetting(file)
	crashed := old == on && exists(note)
	if err != nil || old != off && !crashed {
		file.Close()
		os.Remove(note)
		return func() error { return nil }, err
	}
	if err = s.remember(note, off); err == nil {
		err = writeSetting(file, on)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	restored := false
	return func() error {
		if restored {
			return nil
		}
		restored = true
		defer file.Close()
		defer s.forget(note)
		if now, err := readSetting(file); err != nil || now != on {
			return err
		}
		return writeSetting(file, off)
	}, nil
}

// note is the file that tells what a setting of this network namespace was.
func (s Settings) note(path string) (string, error) {
	var namespace unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &namespace); err != nil {
		return "", fmt.Errorf("find the number of the network namespace: %w", err)
	}
	return filepath.Join(s.Dir, fmt.Sprintf("%s.%d", filepath.Base(path), namespace.Ino)), nil
}

func (s Settings) remember(note, value string) error {
	var err error
	// Another process may remove the directory with its last note in between.
	for range 3 {
		if err = os.MkdirAll(s.Dir, 0o755); err != nil {
			break
		}
		if err = os.WriteFile(note, []byte(value+"\n"), 0o600); err == nil {
			return nil
		}
	}
	return fmt.Errorf("note a setting that is about to change: %w", err)
}

// forget removes the note, and the directory with the last one.
func (s Settings) forget(note string) {
	os.Remove(note)
	os.Remove(s.Dir)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func readSetting(file *os.File) (string, error) {
	value := make([]byte, 16)
	n, err := file.ReadAt(value, 0)
	if n == 0 && err != nil {
		return "", fmt.Errorf("read %s: %w", file.Name(), err)
	}
	return strings.TrimSpace(string(value[:n])), nil
}

func writeSetting(file *os.File, value string) error {
	if _, err := file.WriteAt([]byte(value+"\n"), 0); err != nil {
		return fmt.Errorf("set %s to %s: %w", file.Name(), value, err)
	}
	return nil
}
