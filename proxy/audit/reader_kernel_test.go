//go:build kernel

package audit

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab/peers"
	"github.com/ftpgate/ftpgate/proxy"
)

// TestReader: logwatch reads what stands in xferlog, without a word of what it
// could not match.
func TestReader(t *testing.T) {
	file := filepath.Join(t.TempDir(), "xferlog")
	l, _ := opened(t, Files{Xferlog: file})
	for _, change := range []func(*proxy.Transfer){
		nil,
		func(t *proxy.Transfer) { t.Kind, t.Path, t.Bytes = proxy.Upload, "/in/b c.bin", 3_000_000 },
		func(t *proxy.Transfer) { t.Path, t.Result = "/cut", proxy.Failed },
		func(t *proxy.Transfer) { t.Path, t.User = "/pub/x\r\n\t y\xff", "anonymous" },
		func(t *proxy.Transfer) {
			t.Path, t.Kind, t.User, t.Client = "", proxy.Upload, "ftp", netip.MustParseAddrPort("[2001:db8::7]:5")
		},
		func(t *proxy.Transfer) { t.Path, t.User = "/nobody", "" },
	} {
		l.Record(download(change))
	}
	closed(t, l)
	got := logwatch(t, file)
	for _, want := range []string{
		"TOTAL KB IN: 3001KB", "192.168.50.10 -> /in/b_c.bin (User: lab)", "/pub/a.bin -> 192.168.50.10 (User: lab)", "/cut -> 192.168.50.10 (User: lab)",
		"/pub/x____y\xff -> 192.168.50.10 (Email: anonymous)", "2001:db8::7 -> _ (User: ftp)", "/nobody -> 192.168.50.10 (User: _)",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("logwatch does not say %q", want)
		}
	}
	if strings.Contains(got, "Unmatched") || t.Failed() {
		t.Errorf("logwatch says:\n%s", got)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(xferlogLine(new(download(nil)))), " ftp ", " ", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(logwatch(t, file), "Unmatched") {
		t.Error("logwatch takes a line that lacks a field, so this test shows nothing")
	}
}

// logwatch is what it makes of an xferlog.
func logwatch(t *testing.T, xferlog string) string {
	t.Helper()
	scripts, err := peers.CachePath("logwatch/usr/share/logwatch/scripts")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `perl "$1"/logfiles/xferlog/removeheaders <"$2" | perl "$1"/services/ftpd-xferlog`, "sh", scripts, xferlog)
	cmd.Env = append(os.Environ(), "LOGWATCH_DETAIL_LEVEL=20", "detail_transfer=1")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "Can't open perl script") {
		t.Fatalf("logwatch: %v\n%s", err, out)
	}
	return string(out)
}
