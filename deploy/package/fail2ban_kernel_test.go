//go:build kernel

package packages

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// TestFail2banFilter gives fail2ban's own tester lines of the log, each with the address that they count against.
func TestFail2banFilter(t *testing.T) {
	root, err := peers.CachePath("fail2ban")
	if err != nil {
		t.Fatal(err)
	}
	filter, err := filepath.Abs("fail2ban-filter.conf")
	if err != nil {
		t.Fatal(err)
	}
	const begin = `{"level":"info","time":"2026-11-27T05:50:42.677994982Z","message":`
	for _, c := range []struct{ line, counts string }{
		{begin + `"login failed","session":1,"client":"203.0.113.66:56828","server":"192.168.50.20:21","rule":"in","why":"the server has refused the login","verb":"PASS","code":530,"user":"bob"}`, "203.0.113.66"},
		{begin + `"login failed","session":1,"client":"[2001:db8:113::66]:5682","server":"[2001:db8:50::20]:21","rule":"in","why":"the server has refused the login","verb":"PASS","code":530,"user":"bob"}`, "2001:db8:113::66"},
		{begin + `"refused","session":1,"client":"203.0.113.66:56828","server":"192.168.50.20:21","rule":"in","why":"users.deny has \"root\"","verb":"USER","code":530}`, "203.0.113.66"},
		{begin + `"refused","session":1,"client":"203.0.113.66:56828","server":"192.168.50.20:21","rule":"in","why":"commands.deny","verb":"SITE","code":502}`, ""},
		{begin + `"session ended","session":1,"client":"203.0.113.66:56828","server":"192.168.50.20:21","rule":"in","why":"QUIT","user":"bob"}`, ""},
		{begin + `"session ended","session":1,"client":"203.0.113.66:56828","why":"QUIT","user":"x\",\"message\":\"login failed\",\"session\":1,\"client\":\"203.0.113.20:1\","}`, ""},
		{begin + `"login failed","session":1,"client":"203.0.113.66:56828","server":"192.168.50.20:21","rule":"in","why":"the server has refused the login","verb":"USER","code":530,"user":"{\"level\":\"info\",\"time\":\"2026-11-27T05:50:42Z\",\"message\":\"login failed\",\"session\":1,\"client\":\"203.0.113.20:1\","}`, "203.0.113.66"},
	} {
		log := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(log, []byte(c.line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("python3", filepath.Join(root, "usr/bin/fail2ban-regex"), "--config", filepath.Join(root, "etc/fail2ban"),
			"--out", "ip", log, filter)
		cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(root, "usr/lib/python3/dist-packages"))
		out, err := cmd.CombinedOutput()
		found := regexp.MustCompile(`(?m)^([0-9a-f.:]+)$`).FindAllStringSubmatch(string(out), -1)
		var counted []string
		for _, f := range found {
			counted = append(counted, f[1])
		}
		if got := strings.Join(counted, " "); got != c.counts {
			t.Errorf("%s\ncounts against %q instead of %q (%v)", c.line, got, c.counts, fmt.Sprint(err, string(out)))
		}
	}
}
