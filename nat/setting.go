package nat

import (
	"fmt"
	"os"
	"strings"
)

const (
	accountingSetting = "/proc/sys/net/netfilter/nf_conntrack_acct"
	eventsSetting     = "/proc/sys/net/netfilter/nf_conntrack_events"
)

// EnableAccounting makes conntrack count the bytes and packets of the connections that
// begin from now on. Restore puts the old value back unless somebody else has changed
// it since; it may be called again without effect. After a crash the setting stays on.
func EnableAccounting() (restore func() error, err error) {
	return enable(accountingSetting, "1", "0")
}

// EnableEvents makes conntrack report the beginning and end of connections where that
// was switched off. Restore does as that of EnableAccounting.
func EnableEvents() (restore func() error, err error) {
	return enable(eventsSetting, "1", "0")
}

// enable writes on to the setting at path if its value is off. The file stays open, so
// that what is restored is the setting of the network namespace that was changed.
func enable(path, on, off string) (restore func() error, err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("read a setting of conntrack (is nf_conntrack loaded?): %w", err)
	}
	old, err := readSetting(file)
	if err != nil || old != off {
		file.Close()
		return func() error { return nil }, err
	}
	if err := writeSetting(file, on); err != nil {
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
		if now, err := readSetting(file); err != nil || now != on {
			return err
		}
		return writeSetting(file, old)
	}, nil
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
