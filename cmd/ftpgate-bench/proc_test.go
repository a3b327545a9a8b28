package main

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestCollectedTime(t *testing.T) {
	const stat = "4711 (a (strange) name) S 1 4711 4711 0 -1 4194560 0 0 0 0 11 22 30 12 20 0 9 0 1234 0 0\n"
	if got, err := collectedTime([]byte(stat)); err != nil || got != 420*time.Millisecond {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "4711 name S", "4711 (name) S 1 2 3", "4711 (n) S 1 2 3 4 5 6 7 8 9 10 11 12 x y"} {
		if got, err := collectedTime([]byte(bad)); err == nil {
			t.Errorf("%q is taken for %v", bad, got)
		}
	}
}

// TestTreeCPU: this process's time is counted, and that of a child, while it lives and when it is gone.
func TestTreeCPU(t *testing.T) {
	const work = 100 * time.Millisecond
	before, err := treeCPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("sh", "-c", "while :; do :; done")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	grown := func() time.Duration {
		now, err := treeCPU(os.Getpid())
		if err != nil {
			t.Error(err)
		}
		return now - before
	}
	for begin := time.Now(); grown() < work && time.Since(begin) < 10*time.Second; {
		time.Sleep(10 * time.Millisecond)
	}
	living := grown()
	child.Process.Kill()
	_ = child.Wait() // it was killed
	if gone := grown(); living < work || gone < living-tick {
		t.Errorf("a child has taken %v while it lived and %v afterwards", living, gone)
	}
	if _, err := treeCPU(-1); err == nil {
		t.Error("nobody has taken CPU time")
	}
}

func TestMemory(t *testing.T) {
	resident, err := residentSet(os.Getpid())
	if err != nil || resident < 1<<20 {
		t.Errorf("this process takes %d bytes, %v", resident, err)
	}
	proportional, err := proportionalSet(os.Getpid())
	if err != nil || proportional < 1<<20 || proportional > 2*resident {
		t.Errorf("its share is %d bytes of %d, %v", proportional, resident, err)
	}
	if _, err := memoryLine("/proc/self/status", "Name:"); err == nil {
		t.Error("a name is taken for memory")
	}
}
