package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// runner is who runs the daemon, or will: whether it can open a file is asked for
// that user, not for the one who looks.
type runner struct {
	uid, gid int
	groups   []int
	user     string
	group    string
	why      string // how that is known
	unit     sandbox
}

// sandbox is what a unit of systemd takes from its daemon, and gives it at the start.
type sandbox struct {
	confined bool     // nothing can be written outside of writable
	writable []string // directories
	hidden   []string // directories in which nothing can be read
	made     []string // directories that are there as soon as it starts
	// credentials are where files will be that the unit hands over (LoadCredential=).
	credentials []string
}

// systemdTime bounds a question to systemd.
const systemdTime = 5 * time.Second

// theRunner is the user of the daemon that runs in this network namespace, else of
// the unit that is installed here, else the one who asks, if the gateway could run
// as that, else root.
func theRunner() runner {
	if h, err := holder(); err == nil && h.believed() {
		r := known(int(h.Uid), int(h.Gid), groupsOf(h.Pid), fmt.Sprintf("as which the gateway runs (PID %d)", h.Pid))
		if ofUnit(h.Pid) && os.Geteuid() == 0 { // anybody else who can tell is in the sandbox as well
			r.unit = askSystemd().sandbox()
		}
		return r
	}
	told := askSystemd()
	if told["LoadState"] == "loaded" {
		if r, err := told.runner(); err == nil {
			return r
		}
	}
	if os.Geteuid() != 0 && capable() == nil {
		groups, _ := os.Getgroups()
		return known(os.Geteuid(), os.Getegid(), groups, "as which ftpgate was asked")
	}
	return known(0, 0, []int{0}, "as which it is run by hand")
}

func known(uid, gid int, groups []int, why string) runner {
	r := runner{uid: uid, gid: gid, groups: groups, user: strconv.Itoa(uid), group: strconv.Itoa(gid), why: why}
	if u, err := user.LookupId(r.user); err == nil {
		r.user = u.Username
	}
	if g, err := user.LookupGroupId(r.group); err == nil {
		r.group = g.Name
	}
	return r
}

// ofUnit tells whether a process belongs to our unit, of the system's and not of a user's.
func ofUnit(pid int32) bool {
	cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err == nil && inUnit(string(cgroup))
}

// inUnit reads the control groups of a process: "0::/system.slice/ftpgate.service".
func inUnit(cgroups string) bool {
	for line := range strings.Lines(cgroups) {
		path := line[strings.LastIndex(line, ":")+1:]
		if strings.HasSuffix(strings.TrimSpace(path), "/"+unit) && !strings.HasPrefix(path, "/user.slice/") {
			return true
		}
	}
	return false
}

// believed tells whether it is the gateway that holds this network namespace: anybody on this host could take the name.
// Root, the one who asks, and the user of our unit are believed, what runs in the unit, and who may do what a gateway does.
func (h held) believed() bool {
	if uid := int(h.Uid); uid == 0 || uid == os.Geteuid() || ofUnit(h.Pid) || h.privileged() {
		return true
	}
	told := askSystemd()
	if told["LoadState"] != "loaded" {
		return false
	}
	r, err := told.runner()
	return err == nil && r.uid == int(h.Uid)
}

// privileged tells whether the process is our program, of the user who has taken the name, and may administer the network of
// this user namespace: in one of his own everybody may, and a program that runs with other ids than his is not his.
func (h held) privileged() bool {
	of := func(pid, what string) string {
		to, err := os.Readlink("/proc/" + pid + "/" + what)
		if err != nil {
			return "unknown " + pid
		}
		return strings.TrimSuffix(to, " (deleted)") // by an upgrade
	}
	pid, self := strconv.Itoa(int(h.Pid)), "self"
	if of(pid, "ns/user") != of(self, "ns/user") || of(pid, "exe") != of(self, "exe") {
		return false
	}
	status, _ := os.ReadFile("/proc/" + pid + "/status")
	uid := strconv.Itoa(int(h.Uid))
	his, may := false, false
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "Uid":
			his = slices.Equal(strings.Fields(value), []string{uid, uid, uid, uid})
		case "CapEff":
			all, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			may = err == nil && all&(1<<unix.CAP_NET_ADMIN) != 0
		}
	}
	return his && may
}

// groupsOf are the supplementary groups of a process.
func groupsOf(pid int32) (groups []int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if list, found := strings.CutPrefix(line, "Groups:"); found {
			for _, word := range strings.Fields(list) {
				if g, err := strconv.Atoi(word); err == nil {
					groups = append(groups, g)
				}
			}
		}
	}
	return groups
}

// properties are those of our unit, as systemctl show prints them; none without systemd.
type properties map[string]string

func askSystemd() properties {
	ctx, cancel := context.WithTimeout(context.Background(), systemdTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemctl", "show", unit, "-p",
		"LoadState,User,Group,SupplementaryGroups,ProtectSystem,ProtectHome,ReadWritePaths,InaccessiblePaths,LogsDirectory,StateDirectory,CacheDirectory,RuntimeDirectory,LoadCredential").Output()
	p := properties{}
	if err != nil {
		return p
	}
	for line := range bytes.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), "=")
		p[key] = value
	}
	return p
}

// runner is whom the unit names.
func (p properties) runner() (runner, error) {
	name := p["User"]
	if name == "" {
		name = "root"
	}
	u, err := lookup(name)
	if err != nil {
		return runner{}, err
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if g, err := group(p["Group"]); err == nil {
		gid = g
	}
	var groups []int
	if ids, err := u.GroupIds(); err == nil { // those of the user's own, as initgroups(3)
		for _, id := range ids {
			if g, err := strconv.Atoi(id); err == nil {
				groups = append(groups, g)
			}
		}
	}
	for _, name := range strings.Fields(p["SupplementaryGroups"]) {
		if g, err := group(name); err == nil {
			groups = append(groups, g)
		}
	}
	r := known(uid, gid, groups, "as which "+unit+" runs it")
	r.unit = p.sandbox()
	return r, nil
}

func lookup(name string) (*user.User, error) {
	if u, err := user.LookupId(name); err == nil {
		return u, nil
	}
	return user.Lookup(name)
}

func group(name string) (int, error) {
	if n, err := strconv.Atoi(name); err == nil {
		return n, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}

func (p properties) sandbox() sandbox {
	s := sandbox{confined: p["ProtectSystem"] == "strict"}
	for _, d := range [][2]string{{"/var/log", "LogsDirectory"}, {"/var/lib", "StateDirectory"}, {"/var/cache", "CacheDirectory"}, {"/run", "RuntimeDirectory"}} {
		for _, name := range strings.Fields(p[d[1]]) {
			s.made = append(s.made, filepath.Join(d[0], name))
		}
	}
	s.writable = slices.Clone(s.made)
	for _, path := range strings.Fields(p["ReadWritePaths"]) {
		s.writable = append(s.writable, strings.TrimLeft(path, "-+"))
	}
	for _, path := range strings.Fields(p["InaccessiblePaths"]) {
		s.hidden = append(s.hidden, strings.TrimLeft(path, "-+"))
	}
	if p["ProtectHome"] == "yes" || p["ProtectHome"] == "tmpfs" {
		s.hidden = append(s.hidden, "/home", "/root", "/run/user")
	}
	if p["LoadCredential"] != "" {
		s.credentials = []string{filepath.Join("/run/credentials", unit)}
	}
	return s
}

// isBelow tells whether a path is one of the directories or below it.
func isBelow(path string, directories []string) bool {
	return slices.ContainsFunc(directories, func(d string) bool { return path == d || strings.HasPrefix(path, strings.TrimSuffix(d, "/")+"/") })
}

// sure tells whether what as answers is so for the runner: of the user who asks, or because root can ask for everybody.
func (r runner) sure() bool {
	if os.Geteuid() == 0 {
		return true
	}
	mine, _ := os.Getgroups()
	mine = append(mine, os.Getegid())
	return os.Geteuid() == r.uid && !slices.ContainsFunc(append(r.groups, r.gid), func(g int) bool { return !slices.Contains(mine, g) })
}

// as does something that opens files as the runner, if this process can: by a thread with the runner's user and groups,
// of which the kernel then takes the capabilities that root has with files. The thread ends with it.
func (r runner) as(do func() error) error {
	if os.Geteuid() != 0 || r.uid == 0 {
		return do()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocks
		done <- func() error {
			if err := setGroups(r.groups); err != nil {
				return fmt.Errorf("taking the groups of user %s: %w", r.user, err)
			}
			// The two tell the former id, not whether they did it; asked for an id that nobody has they change nothing.
			_ = unix.Setfsgid(r.gid)
			if now, err := unix.SetfsgidRetGid(-1); err != nil || now != r.gid {
				return fmt.Errorf("taking the group of user %s: %w", r.user, unix.EPERM)
			}
			_ = unix.Setfsuid(r.uid)
			if now, err := unix.SetfsuidRetUid(-1); err != nil || now != r.uid {
				return fmt.Errorf("becoming user %s: %w", r.user, unix.EPERM)
			}
			return do()
		}()
	}()
	return <-done
}

// setGroups sets the supplementary groups of this thread alone, unlike syscall.Setgroups.
func setGroups(groups []int) error {
	number := uintptr(unix.SYS_SETGROUPS)
	if runtime.GOARCH == "arm" || runtime.GOARCH == "386" {
		number = 206 // setgroups32: there the other one takes groups of 16 bits
	}
	ids := make([]uint32, len(groups)+1) // never empty, for its address
	for i, g := range groups {
		ids[i] = uint32(g)
	}
	if _, _, failed := unix.RawSyscall(number, uintptr(len(groups)), uintptr(unsafe.Pointer(&ids[0])), 0); failed != 0 {
		return failed
	}
	return nil
}
