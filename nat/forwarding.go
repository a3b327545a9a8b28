package nat

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	forwarding4  = "/proc/sys/net/ipv4/ip_forward"
	forwarding6  = "/proc/sys/net/ipv6/conf/all/forwarding"
	redirects4   = "/proc/sys/net/ipv4/conf/all/accept_redirects"
	eachForwards = "/proc/sys/net/ipv%s/conf/*/forwarding"
	acceptRA     = "/proc/sys/net/ipv6/conf/%s/accept_ra"
)

// Forwarding turns the kernel's IP forwarding on, and puts back what it has found.
//
// A host that forwards IPv6 does not listen to router advertisements any more, and so loses its own default route on an
// interface that lives by them: where the interfaces of the WAN accept them, they are told to go on (accept_ra 2).
type Forwarding struct {
	Settings Settings
	IPv6     bool

	undo map[string]func() error // by the setting that we hold
}

// Hold turns it on, for the interfaces of the WAN that are there; it is to be called again when that may have changed. It
// takes CAP_NET_ADMIN. After an error some of it may be done: the caller calls Release.
func (f *Forwarding) Hold(wan []string) error {
	if f.IPv6 {
		if err := f.advertisements(wan); err != nil { // before: turning it on drops the routes that came by them
			return err
		}
	}
	if f.undo[forwarding4] != nil {
		return nil
	}
	if err := f.hold(forwarding4, "1"); err != nil || !f.IPv6 {
		return err
	}
	return f.hold(forwarding6, "1")
}

// advertisements lets the interfaces of the WAN accept them. One that is not there, or has no IPv6, needs nothing.
func (f *Forwarding) advertisements(wan []string) error {
	wanted := make(map[string]bool, len(wan))
	for _, name := range wan {
		wanted[fmt.Sprintf(acceptRA, name)] = true
	}
	for path, undo := range f.undo {
		if strings.HasSuffix(path, "/accept_ra") && !wanted[path] {
			delete(f.undo, path)
			if err := undo(); err != nil {
				return err
			}
		}
	}
	for _, name := range wan {
		path := fmt.Sprintf(acceptRA, name)
		now, err := os.ReadFile(path)
		if err != nil || strings.TrimSpace(string(now)) != "1" {
			continue
		}
		if f.undo[path] != nil { // another interface of that name has come
			delete(f.undo, path)
		}
		if err := f.hold(path, "2"); err != nil && exists(path) {
			return err
		}
	}
	return nil
}

func (f *Forwarding) hold(path, value string) error {
	undo, err := f.Settings.hold(path, value, func(string) bool { return true }, besides(path))
	if err != nil {
		return err
	}
	if f.undo == nil {
		f.undo = map[string]func() error{}
	}
	f.undo[path] = undo
	return nil
}

// Release puts back what Hold has changed, forwarding first, and what an earlier process has left, which crashed. It may
// be called at any time and again.
func (f *Forwarding) Release() error {
	var failed error
	first := []string{forwarding4, forwarding6}
	for _, path := range append(first, slices.Sorted(maps.Keys(f.undo))...) {
		if undo := f.undo[path]; undo != nil {
			failed = errors.Join(failed, undo())
			delete(f.undo, path)
		}
	}
	left, err := f.Settings.left()
	if err != nil {
		return errors.Join(failed, err)
	}
	for _, path := range left {
		switch value := "1"; {
		case strings.HasSuffix(path, "/accept_ra"):
			value = "2"
			fallthrough
		case path == forwarding4, path == forwarding6:
			failed = errors.Join(failed, f.Settings.recover(path, value, besides(path)))
		}
	}
	return failed
}

// besides are the settings that the kernel changes together with one of forwarding, ip_forward and all.forwarding: that of
// each interface, and of IPv4 whether routers are believed that know a better one.
func besides(path string) (all []aside) {
	family := "6"
	switch path {
	case forwarding4:
		family, all = "4", []aside{{redirects4, "0"}}
	case forwarding6:
	default:
		return nil
	}
	each, _ := filepath.Glob(fmt.Sprintf(eachForwards, family)) // the pattern is good
	for _, name := range each {
		if name != path {
			all = append(all, aside{name, "1"})
		}
	}
	return all
}
