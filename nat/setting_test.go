package nat

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestNotesOfOthers: a note is no more than what a run has written, whoever may write where it is.
func TestNotesOfOthers(t *testing.T) {
	s := Settings{Dir: t.TempDir()}
	note, err := s.note(forwarding4)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "shadow")
	const secret = "1\nof root\n"
	put := func(name string, make func(name string) error) {
		t.Helper()
		os.Remove(name)
		if err := make(name); err != nil {
			t.Fatal(err)
		}
	}
	text := func(text string) func(string) error {
		return func(name string) error { return os.WriteFile(name, []byte(text), 0o600) }
	}
	put(elsewhere, text(secret))
	for what, make := range map[string]func(string) error{
		"a link":        func(name string) error { return os.Symlink(elsewhere, name) },
		"a pipe":        func(name string) error { return unix.Mkfifo(name, 0o600) },
		"a directory":   func(name string) error { return os.Mkdir(name, 0o700) },
		"another value": text("3\n"),
		"words":         text("0 and more\n"),
	} {
		put(note, make)
		known := false
		done := func() bool { _, known = recall(note); return true }
		if read := within(t, done); !read || known {
			t.Errorf("%s: is read: %t, and believed: %t", what, read, known)
		}
		if what == "a directory" {
			continue
		}
		if err := s.remember(note, memory{value: "0"}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if m, known := recall(note); !known || m.value != "0" {
			t.Errorf("over %s: %v, %t", what, m, known)
		}
	}
	put(note, text("1\n"+redirects4+" 1\n"+acceptRA+" x y\n"))
	if m, known := recall(note); !known || m.value != "1" || len(m.beside) != 1 || m.beside[redirects4] != "1" {
		t.Errorf("a good one: %v, %t", m, known)
	}
	if now, err := os.ReadFile(elsewhere); err != nil || string(now) != secret {
		t.Errorf("somebody else's file is now %q, %v", now, err)
	}
}

// within calls do and tells what it says; one that hangs says false.
func within(t *testing.T, do func() bool) bool {
	t.Helper()
	said := make(chan bool, 1)
	go func() { said <- do() }()
	select {
	case s := <-said:
		return s
	case <-time.After(5 * time.Second):
		return false
	}
}

// TestNamesOfNotes: a file that is not named as a note leads to no setting.
func TestNamesOfNotes(t *testing.T) {
	s := Settings{Dir: t.TempDir()}
	suffix, err := noteSuffix()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"ipv4:ip_forward", "ipv6:conf:all:forwarding", "ipv6:conf:wan0:accept_ra", "ipv6:conf:eth0.7:accept_ra",
		"..:..:..:tmp:accept_ra", "ipv6:conf:..:..:..:..:tmp:accept_ra", "ipv6:conf:..:accept_ra", "ipv6:conf:.:accept_ra", "ipv6:conf::accept_ra",
		"ipv4:conf:wan0:accept_ra", "ipv4:ip_forward:..:ip_forward", "kernel:randomize_va_space",
	} {
		if err := os.WriteFile(filepath.Join(s.Dir, name+suffix), []byte("1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left, err := s.left()
	slices.Sort(left)
	want := "/proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv6/conf/eth0.7/accept_ra /proc/sys/net/ipv6/conf/wan0/accept_ra"
	if got := strings.Join(left, " "); err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
}
