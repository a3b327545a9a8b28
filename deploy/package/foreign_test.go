//go:build deploy

package packages

import (
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestForeignProcessors: the binaries of the packages run on the processors that they are for, which qemu imitates.
func TestForeignProcessors(t *testing.T) {
	dir := t.TempDir()
	build(t, repository(t), dir, "v0.9.3", "arm64 armv7")
	for _, a := range architectures {
		if a.goarch == runtime.GOARCH {
			continue
		}
		qemu := "qemu-" + map[string]string{"arm64": "aarch64", "arm": "arm", "amd64": "x86_64"}[a.goarch] + "-static"
		root := filepath.Join(dir, a.deb)
		output(t, "dpkg-deb", "--extract", filepath.Join(dir, "ftpgate_0.9.3-1_"+a.deb+".deb"), root)
		binary := filepath.Join(root, "usr/sbin/ftpgate")
		if got := output(t, qemu, binary, "version"); !strings.Contains(got, "v0.9.3") || !strings.Contains(got, "linux/"+a.goarch) {
			t.Errorf("%s: version %s", a.deb, got)
		}
		for _, config := range []string{"etc/ftpgate/ftpgate.yaml", "usr/share/doc/ftpgate/examples/both.yaml", "usr/share/doc/ftpgate/ftpgate.yaml"} {
			if got := output(t, qemu, binary, "check", "--config", filepath.Join(root, config)); !strings.Contains(got, "good") {
				t.Errorf("%s: check %s: %s", a.deb, config, got)
			}
		}
	}
}
