package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// TestLogbook: lines come in any pieces, and some are no JSON.
func TestLogbook(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	b, err := newLogbook(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	text := `{"message":"session started","session":7,"client":"192.0.2.1:4000","seen_as":"192.0.2.9:1"}
panic: not really
{"message":"data address announced","session":7,"verb":"PORT","said":"a","sent":"b","pinhole":"c"}
{"message":"session ended","session":7,"transfers":2,"bytes":20}
`
	go io.Copy(b, iotest.OneByteReader(strings.NewReader(text)))
	started, err := b.started(t.Context(), "192.0.2.1:4000")
	if err != nil || started.Session != 7 {
		t.Fatal(started, err)
	}
	if e, err := b.announced(t.Context(), 7, "PORT"); err != nil || e.Sent != "b" {
		t.Error(e, err)
	}
	if e, err := b.ended(t.Context(), 7); err != nil || e.Transfers != 2 || e.Bytes != 20 {
		t.Error(e, err)
	}
	if kept, err := os.ReadFile(path); err != nil || string(kept) != text {
		t.Errorf("the file holds %q, %v", kept, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if e, err := b.ended(ctx, 8); err == nil {
		t.Error(e)
	}
	for n := range 3 * maxEntries {
		fmt.Fprintf(b, "{\"message\":\"x\",\"session\":%d}\n", n)
	}
	if len(b.entries) != maxEntries {
		t.Errorf("%d entries are remembered", len(b.entries))
	}
}
