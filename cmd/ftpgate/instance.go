package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/cmd/ftpgate/doctor"
	"github.com/ftpgate/ftpgate/configs"
)

const (
	// instance is an abstract socket: its name is held once in a network
	// namespace, and is free again when its holder dies, however it dies. Who
	// connects is told the settings that last.
	instance = "@ftpgate"
	// greetTime bounds what is said there.
	greetTime = time.Second
)

// claim makes sure that no other ftpgate serves this network namespace: its
// rules would look like leftovers of ours. Who asks is told these settings.
func (g *gateway) claim(settings map[string]string) error {
	held, err := net.Listen("unix", instance)
	if err != nil {
		if errors.Is(err, unix.EADDRINUSE) {
			return fmt.Errorf("another ftpgate runs in this network namespace%s; stop it first", whichOne())
		}
		return fmt.Errorf("claiming this network namespace: %w", err)
	}
	g.later("releasing the instance", held.Close)
	go greet(held, settings)
	return nil
}

// greet tells everybody who asks what this gateway keeps until it ends.
func greet(held net.Listener, settings map[string]string) {
	for {
		caller, err := held.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no file is free: somebody asks again
			time.Sleep(greetTime)
			continue
		}
		_ = caller.SetDeadline(time.Now().Add(greetTime))
		_ = json.NewEncoder(caller).Encode(settings) // who does not listen does not need it
		caller.Close()
	}
}

// lasting are the settings that a running gateway keeps whatever a reload brings: the
// pinholes that are open stand in the tables of its backend, and a log is of one form.
func lasting(c *configs.Config) map[string]string {
	return map[string]string{
		"firewall.backend":  string(c.Firewall.Backend),
		"firewall.iptables": string(c.Firewall.IPTables),
		"log.format":        string(c.Log.Format),
	}
}

// kept are the settings that differ from those of a running gateway, of the process.
func kept(running map[string]string, pid int32, c *configs.Config) (found []doctor.Trouble) {
	wanted, restart := lasting(c), "stop it and start it again"
	if ofUnit(pid) {
		restart = "systemctl restart " + unit
	}
	for _, key := range []string{"firewall.backend", "firewall.iptables", "log.format"} {
		if was, known := running[key]; known && was != wanted[key] {
			found = append(found, doctor.Trouble{Key: key, Problem: fmt.Sprintf("%s changes only with a restart: the gateway runs with %q", key, was),
				Cure: restart + " (control connections end with 421), or write " + strconv.Quote(was) + " again"})
		}
	}
	return found
}

// held is what the holder of this network namespace is: the kernel has noted who
// listens, and the holder tells its settings.
type held struct {
	*unix.Ucred
	settings map[string]string
}

func holder() (held, error) {
	conn, err := net.DialTimeout("unix", instance, greetTime)
	if err != nil {
		return held{}, err
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return held{}, err
	}
	var h held
	var failed error
	err = raw.Control(func(fd uintptr) { h.Ucred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(err, failed); err != nil {
		return held{}, fmt.Errorf("asking who holds this network namespace: %w", err)
	}
	_ = conn.SetDeadline(time.Now().Add(greetTime))
	_ = json.NewDecoder(io.LimitReader(conn, 4096)).Decode(&h.settings) // one that hangs says nothing
	return h, nil
}

// whichOne names the process that holds this network namespace, and how to stop it.
func whichOne() string {
	h, err := holder()
	if err != nil || h.Pid == 0 { // 0: of a PID namespace that is not seen from here
		return ""
	}
	stop := fmt.Sprintf("kill %d", h.Pid)
	switch {
	case !h.believed():
		return fmt.Sprintf(", or some other program of user %d has taken its name %s (PID %d: %s)", h.Uid, instance, h.Pid, stop)
	case ofUnit(h.Pid):
		stop = "systemctl stop " + unit
	}
	return fmt.Sprintf(" (PID %d: %s)", h.Pid, stop)
}
