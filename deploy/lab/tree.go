package lab

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// descendant is a process that another one started, with what tells it from a later process of the same number.
type descendant struct {
	pid     int
	started string
}

// descendants lists the processes below p. Some servers give each session a process group of its own, so the group is
// not enough.
func (p *Process) descendants() []descendant {
	if p.ended() {
		return nil
	}
	var all []descendant
	for left := []int{p.PID()}; len(left) > 0; left = left[1:] {
		// Threads have children of their own; single-threaded servers are those that fork.
		list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", left[0], left[0]))
		for field := range strings.FieldsSeq(string(list)) {
			if pid, err := strconv.Atoi(field); err == nil {
				left = append(left, pid)
				all = append(all, descendant{pid, startTime(pid)})
			}
		}
	}
	return all
}

// killAll kills the group of p and the processes below it. Those that are gone already cannot be killed, which is what
// was wanted.
func (p *Process) killAll(below []descendant) {
	_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	for _, d := range below {
		if d.started != "" && d.started == startTime(d.pid) {
			_ = syscall.Kill(d.pid, syscall.SIGKILL)
		}
	}
}

// startTime is when a process started, in clock ticks since the machine did; empty if there is no such process
// (proc(5), field 22 of stat).
func startTime(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name before it may hold anything but this, in practice
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return ""
	}
	return fields[19]
}
