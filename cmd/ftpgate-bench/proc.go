package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of times in /proc/PID/stat: USER_HZ is 100 on every architecture that Go knows.
const tick = 10 * time.Millisecond

// treeCPU is the CPU time, user and system, of a process, of those below it, and of those that have ended and were
// collected. Of living processes it is exact; of collected ones it is counted in ticks.
func treeCPU(pid int) (time.Duration, error) {
	total, err := clockOf(pid)
	if err != nil {
		return 0, fmt.Errorf("reading the CPU time of process %d: %w", pid, err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the CPU time of the children of process %d: %w", pid, err)
	}
	collected, err := collectedTime(stat)
	if err != nil {
		return 0, err
	}
	total += collected
	for _, child := range childrenOf(pid) {
		// A child that ends now is counted the next time, as collected.
		if below, err := treeCPU(child); err == nil {
			total += below
		}
	}
	return total, nil
}

// clockOf reads the CPU clock of a process, which counts all its threads, also those that have ended, in nanoseconds
// (clock_getcpuclockid(3) makes the clock's number so).
func clockOf(pid int) (time.Duration, error) {
	const schedulerClock = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &t); err != nil {
		return 0, err
	}
	return time.Duration(t.Nano()), nil
}

// collectedTime reads the user and system time of collected children from /proc/PID/stat: fields 16 and 17 (proc(5)).
func collectedTime(stat []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(stat, ')') // of the name, which may hold anything
	if end < 0 {
		return 0, fmt.Errorf("no name in %q", stat)
	}
	fields := strings.Fields(string(stat[end+1:])) // from field 3
	if len(fields) < 15 {
		return 0, fmt.Errorf("too few fields in %q", stat)
	}
	var total time.Duration
	for _, field := range fields[13:15] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("a time in %q: %w", stat, err)
		}
		total += time.Duration(n) * tick
	}
	return total, nil
}

// childrenOf lists the children of all threads of a process.
func childrenOf(pid int) (all []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is a good one
	for _, list := range lists {
		text, _ := os.ReadFile(list) // a thread that has ended has none
		for field := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				all = append(all, child)
			}
		}
	}
	return all
}

// residentSet is the memory of a process that is in RAM, in bytes: VmRSS of /proc/PID/status.
func residentSet(pid int) (int64, error) {
	return memoryLine(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:")
}

// proportionalSet is the memory of a process and of those below it, in bytes, in which what several share is counted
// once: Pss of /proc/PID/smaps_rollup.
func proportionalSet(pid int) (int64, error) {
	total, err := memoryLine(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:")
	if err != nil {
		return 0, err
	}
	for _, child := range childrenOf(pid) {
		below, err := proportionalSet(child)
		if err != nil {
			return 0, err
		}
		total += below
	}
	return total, nil
}

// memoryLine reads a line such as "VmRSS:  1234 kB" of a file.
func memoryLine(path, name string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == name && fields[2] == "kB" {
			n, err := strconv.ParseInt(fields[1], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no %s in %s", name, path)
}

// openFiles is how many files a process has open.
func openFiles(pid int) (int, error) {
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(all), err
}
