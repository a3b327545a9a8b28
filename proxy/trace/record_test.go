package trace

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// scene is the segments of a session with a data connection.
func scene(t *testing.T) (file []byte, story string) {
	w := newWire(t, Options{Own: own})
	near, far := gateway(w)
	active(near, far)
	data := w.dial("wan0", "203.0.113.20:20", "203.0.113.1:50000")
	data.forward("lan0", "203.0.113.20:20", "192.168.50.10:6275").answer()
	data.answer()
	data.segment(true, "", "what is in the file")
	data.close()
	near.close()
	var out bytes.Buffer
	r := NewRecorder(&out)
	for i, s := range w.packets {
		keep := Control
		if !strings.HasSuffix(s.Source.String(), ":21") && !strings.HasSuffix(s.Destination.String(), ":21") {
			keep = Data
		}
		if err := r.Write(s, keep, w.comments[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	w.follower.Close()
	return out.Bytes(), w.told()
}

// retold reads a file and returns its story.
func retold(t *testing.T, r io.Reader) (string, error) {
	w := newWire(t, Options{Own: own})
	err := ReadFile(r, []uint16{21}, func([]netip.Addr) {}, func(s *Segment) error {
		w.follower.Take(s)
		return nil
	})
	w.follower.Close()
	return w.told(), err
}

// TestRecord: what was written is read again as the same story, without secrets and without what was in files.
func TestRecord(t *testing.T) {
	file, story := scene(t)
	again, err := retold(t, bytes.NewReader(file))
	if err != nil || again != story {
		t.Errorf("%v\nfirst:\n%s\nagain:\n%s", err, story, again)
	}
	for _, not := range []string{"geheim", "what is in the file"} {
		if bytes.Contains(file, []byte(not)) {
			t.Errorf("the file has %q", not)
		}
	}
	for _, want := range []string{"session 1: client: PORT 192,168,50,10,24,131", "session 1: data: SYN", "lan0", "wan0"} {
		if !bytes.Contains(file, []byte(want)) {
			t.Errorf("the file has no %q", want)
		}
	}
}

// TestHostInFile: the addresses of the host are in the file, and in no other's.
func TestHostInFile(t *testing.T) {
	want := []netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8::1")}
	for _, own := range [][]netip.Addr{want, nil} {
		var out bytes.Buffer
		r := NewRecorder(&out)
		r.Host(own)
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
		called := false
		err := ReadFile(&out, []uint16{21}, func(got []netip.Addr) {
			called = true
			if !slices.Equal(got, own) {
				t.Errorf("%v became %v", own, got)
			}
		}, func(*Segment) error { return nil })
		if err != nil || !called {
			t.Errorf("%v, told: %t", err, called)
		}
	}
}

// TestDamaged: a file that is cut anywhere is read as far as it goes, and one that is damaged is an error, never a panic.
func TestDamaged(t *testing.T) {
	file, story := scene(t)
	for n := 0; n < len(file); n += 5 {
		if told, err := retold(t, bytes.NewReader(file[:n])); n > 200 && (err != nil || !strings.HasPrefix(story, firstLine(told))) {
			t.Fatalf("cut at %d: %v\n%s", n, err, told)
		}
		damaged := bytes.Clone(file)
		damaged[min(n+n%4, len(file)-1)] ^= 1 << (n % 8)
		_, _ = retold(t, bytes.NewReader(damaged))
	}
	for _, text := range []string{"", "x", "not a capture, but long enough to be one", "\x0a\x0d\x0d\x0a"} {
		if _, err := retold(t, strings.NewReader(text)); !errors.Is(err, ErrNotCapture) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// TestOldFormat: pcap is read as well, in the order of time.
func TestOldFormat(t *testing.T) {
	var file bytes.Buffer
	out := pcapgo.NewWriterNanos(&file)
	if err := out.WriteFileHeader(65535, layers.LinkTypeRaw); err != nil {
		t.Fatal(err)
	}
	for i, p := range []struct {
		after time.Duration
		packet
	}{
		{0, packet{from: lanClient, to: outside, flags: "S", seq: 100}},
		{2 * time.Millisecond, packet{from: lanClient, to: outside, flags: "A", seq: 111, data: "NOOP\r\n"}},
		{time.Millisecond, packet{from: lanClient, to: outside, flags: "A", seq: 101, data: "USER bob\r\n"}},
	} {
		raw := p.bytes(t)
		if err := out.WritePacket(gopacket.CaptureInfo{Timestamp: someTime.Add(p.after), CaptureLength: len(raw), Length: len(raw)}, raw); err != nil {
			t.Fatal(i, err)
		}
	}
	if told, err := retold(t, &file); err != nil || !strings.Contains(told, "client: USER bob\nclient: NOOP") {
		t.Errorf("%v\n%s", err, told)
	}
}
