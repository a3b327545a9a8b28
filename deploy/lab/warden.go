package lab

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// wardenScript waits until its input ends, which is when the process that has the lab is gone, however that came
// about. Then it kills the process groups that were reported as started and not as ended, and removes the namespaces.
// Servers that drop root's rights lose the kernel's own signal for the death of a parent, so this is done by hand.
const wardenScript = `
running=
while read -r what group; do
	rest=
	for other in $running; do
		[ "$other" = "$group" ] || rest="$rest $other"
	done
	running=$rest
	[ "$what" = ended ] || running="$running $group"
done
for group in $running; do
	kill -s KILL -- "-$group"
done
for path in /run/netns/"$1"-*; do
	[ ! -e "$path" ] || ip netns delete "${path##*/}"
done
`

// warden is a process that cleans up after a lab whose own process has died.
type warden struct {
	cmd    *exec.Cmd
	report io.WriteCloser
}

func startWarden(prefix string) (*warden, error) {
	cmd := exec.Command("/bin/sh", "-c", wardenScript, "warden", prefix)
	// Out of our process group, so that the terminal's interrupt does not end it before us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	report, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("starting the warden: %w", err)
	}
	return &warden{cmd: cmd, report: report}, nil
}

// started and ended tell the warden of a process group. If it is gone, so is the precaution, and nothing else.
func (w *warden) started(group int) { fmt.Fprintf(w.report, "started %d\n", group) }

func (w *warden) ended(group int) { fmt.Fprintf(w.report, "ended %d\n", group) }

// dismiss lets the warden do its work, which is little when everything has ended, and waits for it.
func (w *warden) dismiss() error {
	w.report.Close()
	if err := w.cmd.Wait(); err != nil {
		return fmt.Errorf("the warden: %w", err)
	}
	return nil
}
