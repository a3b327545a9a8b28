//go:build kernel

package firewalltest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/firewall"
)

// victimEnv holds, for a process that is going to be killed, what it has to put in place before.
const victimEnv = "FIREWALLTEST_VICTIM"

// ready is the line by which the victim says that it has done so.
const ready = "victim: ready"

// orders are what victimEnv holds, as JSON.
type orders struct {
	Frame firewall.Frame
	Holes []firewall.Hole
}

// victim is the main function of a process that is going to be killed. It was started in the namespace of the router.
func victim(t *testing.T, c Config) {
	var o orders
	if err := json.Unmarshal([]byte(os.Getenv(victimEnv)), &o); err != nil {
		t.Fatal(err)
	}
	b, err := c.Backend()
	if err == nil {
		err = errors.Join(b.Install(o.Frame), b.Apply(o.Holes, nil))
	}
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(ready)
	select {} // until SIGKILL
}

// kill: a daemon that is killed leaves rules that end by themselves, in time, though nobody removes them.
func kill(s *subject) {
	s.rules.deny()
	e := s.listen(s.server, s.serverAddr(), 4001)
	late := s.listen(s.server, s.serverAddr(), 4002)
	client := port(s.clientAddr(), 0)
	end := time.Now().Add(4 * time.Second) // the victim needs some time to start
	until := func(h *firewall.Hole) { h.Expires = end }
	s.sacrifice(orders{Frame: s.frame(), Holes: []firewall.Hole{s.hole(e.addr, until), s.hole(late.addr, until)}})

	time.Sleep(time.Until(end.Add(-200 * time.Millisecond)))
	s.admitted(client, e.addr, e, client)
	time.Sleep(time.Until(end.Add(time.Second)))
	s.refused("after the end of a killed daemon's pinhole", client, late.addr)
	if !ours(s.rules.text()) {
		s.Error("the rules are gone, so that nothing was shown")
	}
}

// sacrifice runs the test program again, in the router, until its rules are in place, and kills it.
func (s *subject) sacrifice(o orders) {
	s.Helper()
	text, err := json.Marshal(o)
	s.must("writing orders", err)
	var levels []string
	for _, level := range strings.Split(s.config.name, "/") {
		levels = append(levels, "^"+level+"$")
	}
	cmd := exec.Command(os.Args[0], "-test.run="+strings.Join(levels, "/"))
	cmd.Env = append(os.Environ(), victimEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	s.must("preparing the victim", err)
	s.in(s.router, "starting the victim", cmd.Start)
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != ready {
		s.Log("victim: ", lines.Text())
	}
	s.must("killing the victim", cmd.Process.Kill())
	cmd.Wait() // says that it was killed
}
