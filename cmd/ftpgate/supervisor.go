package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// supervisor tells systemd how the daemon is (sd_notify(3)). Where nobody has
// asked for it, as on a terminal, it says nothing.
type supervisor struct {
	log      *zap.Logger
	told     string // the last status
	watchdog bool   // systemd ends a daemon that is silent
	deaf     bool   // what could not be told was logged
}

// newSupervisor reads what systemd has asked for.
func newSupervisor(log *zap.Logger) *supervisor {
	s := &supervisor{log: log}
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("the watchdog of systemd is not served", zap.Error(err))
	}
	s.watchdog = interval > 0
	if s.watchdog && interval < verifiedFor+verifyEvery {
		log.Warn("WatchdogSec of the unit is so short that a look at the rules that is late ends the daemon",
			zap.Duration("at_least", verifiedFor+verifyEvery))
	}
	return s
}

// say sends lines as they stand in sd_notify(3).
func (s *supervisor) say(lines ...string) {
	_, err := daemon.SdNotify(false, strings.Join(lines, "\n"))
	if err != nil && !s.deaf {
		s.log.Warn("systemd cannot be told how the daemon is", zap.Error(err))
	}
	s.deaf = err != nil
}

// phase is what is going on outside of the usual work.
func (s *supervisor) phase(text string, lines ...string) {
	s.told = text
	s.say(append(lines, "STATUS="+text)...)
}

// reloading holds back who waits for the reload, until ready.
func (s *supervisor) reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return // there is no Linux without this clock
	}
	s.phase("reading the configuration again", daemon.SdNotifyReloading, fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/int64(time.Microsecond)))
}

// ready ends the start and each reload.
func (s *supervisor) ready(o *outlook) {
	status, _ := o.line()
	s.phase(status, daemon.SdNotifyReady)
}

// turn is one of the main loop. The watchdog is fed only if connections are
// served as they should be: a gateway that cannot look after its rules is
// started anew.
func (s *supervisor) turn(o *outlook) {
	var lines []string
	status, ready := o.line()
	if status != s.told {
		s.told = status
		lines = append(lines, "STATUS="+status)
	}
	if s.watchdog && ready {
		lines = append(lines, daemon.SdNotifyWatchdog)
	}
	if len(lines) > 0 {
		s.say(lines...)
	}
}

// line is the state of the gateway for `systemctl status`.
func (o *outlook) line() (text string, ready bool) {
	p, holes := o.parts.Load(), o.FirewallStats()
	o.mu.Lock()
	routed, reloadError := o.routed, o.fate.ReloadError
	o.mu.Unlock()
	if why := p.notReady(routed, holes); why != "" {
		return oneLine("not ready: " + why), false
	}
	sessions := 0
	for _, n := range o.SessionStats().Active {
		sessions += n
	}
	text = fmt.Sprintf("ready; sessions %d, pinholes %d, backend %s", sessions, holes.Open, holes.Backend)
	if reloadError != "" {
		text += "; the last reload was refused: " + reloadError
	}
	return oneLine(text), true
}

// oneLine keeps what a newline would make an instruction to systemd.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
