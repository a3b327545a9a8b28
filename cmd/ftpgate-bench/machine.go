package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// machine is where and with what a run was made.
type machine struct {
	Date     string `json:"date"`
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	MemoryMB int64  `json:"memory_mb"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
	IPTables string `json:"iptables"`
	NFT      string `json:"nft"`
	ProFTPD  string `json:"proftpd"`
	FTPGate  string `json:"ftpgate"`
}

// versionTime bounds each program that is asked for its version.
const versionTime = 10 * time.Second

// describeMachine looks at the machine and asks the programs for their versions.
func describeMachine(ctx context.Context, o options) (machine, error) {
	proftpd, err := peers.CachePath("proftpd-core/usr/sbin/proftpd")
	if err != nil {
		return machine{}, err
	}
	memory, err := memoryLine("/proc/meminfo", "MemTotal:")
	if err != nil {
		return machine{}, err
	}
	m := machine{
		Date: time.Now().UTC().Format(time.RFC3339), CPU: cpuModel(), Cores: runtime.NumCPU(), MemoryMB: memory >> 20,
		Kernel: kernelRelease(), Go: runtime.Version(),
	}
	for _, program := range []struct {
		version *string
		command []string
	}{
		{&m.IPTables, []string{"iptables-nft", "--version"}},
		{&m.NFT, []string{"nft", "--version"}},
		{&m.ProFTPD, []string{proftpd, "--version"}},
		{&m.FTPGate, []string{o.ftpgate, "version"}},
	} {
		if *program.version, err = firstLine(ctx, program.command); err != nil {
			return m, err
		}
	}
	return m, nil
}

// firstLine is what a program prints first.
func firstLine(ctx context.Context, command []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTime)
	defer cancel()
	output, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("asking for a version: %s: %w: %s", strings.Join(command, " "), err, output)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(output)), "\n")
	return line, nil
}

// cpuModel is the name of the first processor; of some architectures the kernel does not know it.
func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernelRelease() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Release[:])
}

// String is the machine in one paragraph.
func (m machine) String() string {
	return fmt.Sprintf("%d × %s, %d MiB, Linux %s; %s; %s; %s; %s; load made by %s; %s",
		m.Cores, m.CPU, m.MemoryMB, m.Kernel, m.FTPGate, m.IPTables, m.NFT, m.ProFTPD, m.Go, m.Date)
}
