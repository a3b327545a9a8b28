package iptables

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ftpgate/ftpgate/firewall"
)

const (
	// lockWait is how long another program may hold /run/xtables.lock, in seconds, before we give up.
	lockWait = 5
	// runTimeout ends a program of iptables that hangs; a full table takes less than a second.
	runTimeout = (lockWait + 10) * time.Second
	// maxSaid bounds what is quoted from a program's standard error, in bytes.
	maxSaid = 400
)

// exitResource is what the programs of iptables return when a lock or the kernel's memory could not be had.
const exitResource = 4

// tools are the three programs of one variant and family.
type tools struct{ command, save, restore string }

// sbin is where the programs are when PATH, as of cron or su, leaves it out.
var sbin = [...]string{"/usr/sbin", "/sbin", "/usr/local/sbin"}

// find returns the programs of a name like "ip6tables-nft", if all three are there.
func (h host) find(name string) (tools, bool) {
	t := tools{h.locate(name), h.locate(name + "-save"), h.locate(name + "-restore")}
	if t.command == "" || t.save == "" || t.restore == "" {
		return tools{}, false
	}
	return t, true
}

func locate(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range sbin {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// read returns what the host has in all tables of the family. It makes no table.
func (t tools) read() (ruleset, error) {
	out, err := run("", t.save)
	if err != nil {
		return nil, err
	}
	return parseSave(bytes.NewReader(out))
}

// commit runs one script: all of it happens or nothing.
func (t tools) commit(script string) error {
	_, err := run(script, t.restore, "--noflush", "-w", strconv.Itoa(lockWait))
	return err
}

// version is the text in parentheses of "iptables v1.8.9 (nf_tables)"; older ones, which are all legacy, have none.
func (t tools) version() (Variant, error) {
	out, err := run("", t.command, "--version")
	if err != nil {
		return "", err
	}
	if bytes.Contains(out, []byte("nf_tables")) {
		return NFT, nil
	}
	return Legacy, nil
}

func run(stdin, program string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &said
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if err == nil {
		return out.Bytes(), nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("ended after %s: %w", runTimeout, err)
	}
	return nil, explain(filepath.Base(program), stdin, said.String(), err)
}

// explain makes one line of what a program said, with the line of the script that it names.
func explain(program, script, said string, err error) error {
	text := program
	if said = oneLine(said); said != "" {
		text += ": " + said
	}
	if line := blamed(script, said); line != "" {
		text += " [" + line + "]"
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() < 0 || exit.ExitCode() == exitResource && said == "" {
		return fmt.Errorf("%w: %s: %w", firewall.ErrUnavailable, text, err)
	}
	return advise(said, fmt.Errorf("%s: %w", text, err))
}

// told explains an error of go-iptables, which quotes the program over several lines.
func told(doing string, err error) error {
	said := oneLine(err.Error())
	return advise(said, fmt.Errorf("%s: %s", doing, said))
}

// advise says what is to be done about an error that any other rule would meet as well.
func advise(said string, err error) error {
	switch {
	case strings.Contains(said, "you must be root"), strings.Contains(said, "can't open lock file"):
		return fmt.Errorf("%w: run ftpgate as root, or with CAP_NET_ADMIN, CAP_NET_RAW and write access to /run/xtables.lock: %w",
			firewall.ErrUnavailable, err)
	case strings.Contains(said, "xtables lock"):
		return fmt.Errorf("%w: another program has held the lock for %d s: %w", firewall.ErrUnavailable, lockWait, err)
	}
	return err
}

func oneLine(said string) string {
	said = strings.Join(strings.Fields(said), " ")
	if len(said) > maxSaid {
		return said[:maxSaid] + "…"
	}
	return said
}

// blamed finds the line of the script whose number the program gave; COMMIT, which iptables-legacy gives when the kernel
// refused the whole, tells nothing.
func blamed(script, said string) string {
	words := strings.Fields(strings.NewReplacer(":", " ", ",", " ").Replace(said))
	lines := strings.Split(script, "\n")
	for i := 0; i+1 < len(words); i++ {
		if words[i] != "line" {
			continue
		}
		n, err := strconv.Atoi(words[i+1])
		if err == nil && n >= 1 && n <= len(lines) && lines[n-1] != "COMMIT" {
			return lines[n-1]
		}
	}
	return ""
}
