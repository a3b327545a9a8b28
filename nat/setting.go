package nat

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
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

// Recover puts back what EnableAccounting and EnableEvents have changed in a process that has crashed; nobody may hold them.
func (s Settings) Recover() error {
	return errors.Join(s.recover(accountingSetting, "1", nil), s.recover(eventsSetting, "1", nil))
}

// enable writes on to the setting at path if its value is off, or if an earlier process did so and crashed.
func (s Settings) enable(path, on, off string) (restore func() error, err error) {
	restore, err = s.hold(path, on, func(now string) bool { return now == off }, nil)
	if err != nil {
		return nil, fmt.Errorf("a setting of conntrack (is nf_conntrack loaded?): %w", err)
	}
	return restore, nil
}

// aside is a setting that the kernel changes together with another one, and to what. Both are put back.
type aside struct{ path, to string }

// hold gives the setting at path a value, if wanted of what it finds. The file stays open, so that what is restored is the
// setting of the network namespace that was changed.
func (s Settings) hold(path, value string, wanted func(now string) bool, also []aside) (restore func() error, err error) {
	note, err := s.note(path)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		if now, e := os.ReadFile(path); e == nil && strings.TrimSpace(string(now)) == value {
			return func() error { return nil }, nil // a container whose settings are made outside
		}
		return nil, fmt.Errorf("read a setting: %w", err)
	}
	old, err := readSetting(file)
	noted, crashed := recall(note)
	if crashed = crashed && old == value; !crashed {
		noted = memory{value: old, beside: valuesOf(also)}
	}
	if err != nil || !crashed && (old == value || !wanted(old)) {
		file.Close()
		os.Remove(note)
		return func() error { return nil }, err
	}
	if err = s.remember(note, noted); err == nil && !crashed {
		err = writeSetting(file, value)
	}
	if err != nil {
		file.Close()
		s.forget(note)
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
		now, err := readSetting(file)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) { // an interface that has gone
			return nil
		}
		if err != nil || now != value {
			return err
		}
		meanwhile := valuesOf(also)
		return errors.Join(writeSetting(file, noted.value), putBack(also, noted.beside, meanwhile))
	}, nil
}

// putBack gives settings that the kernel has changed the values they had, or those that somebody else has given them
// meanwhile.
func putBack(also []aside, before, meanwhile map[string]string) error {
	var failed []error
	for _, a := range also {
		value, known := before[a.path]
		if now, there := meanwhile[a.path]; there && now != a.to {
			value, known = now, true
		}
		now, err := os.ReadFile(a.path)
		if !known || err != nil || strings.TrimSpace(string(now)) == value {
			continue
		}
		if err := os.WriteFile(a.path, []byte(value+"\n"), 0); err != nil {
			failed = append(failed, fmt.Errorf("set %s to %s: %w", a.path, value, err))
		}
	}
	return errors.Join(failed...)
}

// valuesOf reads settings, those that there are.
func valuesOf(also []aside) map[string]string {
	values := make(map[string]string, len(also))
	for _, a := range also {
		if value, err := os.ReadFile(a.path); err == nil {
			values[a.path] = strings.TrimSpace(string(value))
		}
	}
	return values
}

// recover does what the process could not that has held the setting at path with a value and has crashed.
func (s Settings) recover(path, value string, also []aside) error {
	note, err := s.note(path)
	if err != nil {
		return err
	}
	if now, err := os.ReadFile(path); err != nil || strings.TrimSpace(string(now)) != value {
		s.forget(note) // an interface that has gone, or somebody else has changed it
		return nil
	}
	restore, err := s.hold(path, value, func(string) bool { return false }, also)
	if err != nil {
		return err
	}
	return restore()
}

// memory is what a note tells: the value, and those of the settings beside.
type memory struct {
	value  string
	beside map[string]string
}

// maxNote bounds a note, in bytes: a host may have a few thousand interfaces.
const maxNote = 1 << 20

// recall reads a note; there may be none. It believes no more of it than a former run can have written: Dir belongs to the
// user of the daemon, and root may be the one who reads.
func recall(note string) (m memory, noted bool) {
	file, err := os.OpenFile(note, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return m, false
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return m, false
	}
	text, err := io.ReadAll(io.LimitReader(file, maxNote))
	if err != nil {
		return m, false
	}
	value, rest, _ := strings.Cut(string(text), "\n")
	if !plausible(value) {
		return m, false
	}
	m = memory{value, map[string]string{}}
	for line := range strings.Lines(rest) {
		if path, was, ok := strings.Cut(strings.TrimSpace(line), " "); ok && plausible(was) {
			m.beside[path] = was
		}
	}
	return m, true
}

// plausible tells whether a setting that is held, or one beside, can have the value.
func plausible(value string) bool { return value == "0" || value == "1" || value == "2" }

// settingsOfNet is where all settings are that may be held. Their notes have the rest of the path as their name, in which
// a colon, which no name of an interface has, stands for a slash.
const settingsOfNet = "/proc/sys/net/"

// note is the file that tells what a setting of this network namespace was.
func (s Settings) note(path string) (string, error) {
	suffix, err := noteSuffix()
	if err != nil {
		return "", err
	}
	name := strings.ReplaceAll(strings.TrimPrefix(path, settingsOfNet), "/", ":")
	return filepath.Join(s.Dir, name+suffix), nil
}

func noteSuffix() (string, error) {
	var namespace unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &namespace); err != nil {
		return "", fmt.Errorf("find the number of the network namespace: %w", err)
	}
	return fmt.Sprintf(".%d", namespace.Ino), nil
}

// left are the settings of forwarding of which there are notes. A file of another name is nobody's note.
func (s Settings) left() (paths []string, err error) {
	suffix, err := noteSuffix()
	if err != nil {
		return nil, err
	}
	notes, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("look for settings that an earlier process has changed: %w", err)
	}
	for _, note := range notes {
		name, ours := strings.CutSuffix(note.Name(), suffix)
		path := settingsOfNet + strings.ReplaceAll(name, ":", "/")
		if ours && (path == forwarding4 || path == forwarding6 || isAcceptRA(path)) {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// isAcceptRA tells whether a path is that of accept_ra of one interface.
func isAcceptRA(path string) bool {
	before, behind, _ := strings.Cut(acceptRA, "%s")
	name, begins := strings.CutPrefix(path, before)
	name, ends := strings.CutSuffix(name, behind)
	return begins && ends && name != "" && name != "." && name != ".." && !strings.Contains(name, "/")
}

func (s Settings) remember(note string, m memory) error {
	text := m.value + "\n"
	for _, path := range slices.Sorted(maps.Keys(m.beside)) {
		text += path + " " + m.beside[path] + "\n"
	}
	var err error
	// Another process may remove the directory with its last note in between.
	for range 3 {
		if err = os.MkdirAll(s.Dir, 0o755); err != nil {
			break
		}
		if err = replace(note, text); err == nil {
			return nil
		}
	}
	return fmt.Errorf("note a setting that is about to change: %w", err)
}

// replace puts a file in the place of whatever has the name, and writes through nothing.
func replace(name, text string) error {
	file, err := os.CreateTemp(filepath.Dir(name), ".note-*") // 0600, and new
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		os.Remove(file.Name())
	}
	return err
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
