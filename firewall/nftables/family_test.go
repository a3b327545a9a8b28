package nftables

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/firewall"
)

var start = time.Now()

func holeAt(id uint64, life time.Duration, change ...func(*firewall.Hole)) firewall.Hole {
	h := firewall.Hole{ID: id, Expires: start.Add(life), Pinhole: firewall.Pinhole{
		Interface: "wan0", Source: netip.MustParseAddr("192.0.2.1"), Session: 7,
		Destination: netip.MustParseAddrPort("198.51.100.1:1024"),
		Target:      netip.MustParseAddrPort("10.0.0.1:1024"),
	}}
	for _, c := range change {
		c(&h)
	}
	return h
}

// transaction tells the messages by which opens and shuts reach the kernel: "+open +targets".
func transaction(t *testing.T, f *family, tolerant, fails bool, open, shut []firewall.Hole) string {
	t.Helper()
	come, gone, err := f.plan(open, shut)
	b := newBatch()
	if err == nil {
		f.write(&writer{batch: b, family: f.family(), table: tableName, now: start}, come, gone, tolerant)
	}
	if err != nil || fails {
		f.takeBack()
	} else {
		f.settle()
	}
	b.seal()
	var said []string
	for _, at := range b.starts[1:] {
		sign := "+"
		if binary.NativeEndian.Uint16(b.data[at+4:])&0xff == unix.NFT_MSG_DELSETELEM {
			sign = "-"
		}
		size := binary.NativeEndian.Uint32(b.data[at:])
		attrs := b.data[at+sizeHeader : at+int(size)]
		each(find(attrs, unix.NFTA_SET_ELEM_LIST_ELEMENTS), func(uint16, []byte) {
			said = append(said, sign+text(find(attrs, unix.NFTA_SET_ELEM_LIST_SET)))
		})
	}
	return strings.Join(said, " ")
}

func TestTransactions(t *testing.T) {
	list := func(h ...firewall.Hole) []firewall.Hole { return h }
	elsewhere := func(h *firewall.Hole) { h.Target = netip.MustParseAddrPort("10.0.0.2:1024") }
	twenty := func(h *firewall.Hole) { h.SourcePort = 20 }
	f := newFamily(true)
	for _, step := range []struct {
		name            string
		open, shut      []firewall.Hole
		tolerant, fails bool
		want            string
	}{
		{name: "the first", open: list(holeAt(1, 60*time.Second)), want: "+open +targets"},
		{name: "alike, and no longer: the translation is shared",
			open: list(holeAt(2, 60*time.Second)), want: "+open_2"},
		{name: "alike, and longer: the translation is prolonged",
			open: list(holeAt(3, 70*time.Second)), want: "-targets +open_3 +targets"},
		{name: "one that fails", open: list(holeAt(4, 80*time.Second)), shut: list(holeAt(1, 60*time.Second)), fails: true,
			want: "-open -targets +open +targets"},
		{name: "its place is free again", open: list(holeAt(5, 60*time.Second, twenty)), want: "+open_from_port"},
		{name: "one of those that share", shut: list(holeAt(1, 60*time.Second)), want: "-open"},
		{name: "its place is taken", open: list(holeAt(6, 70*time.Second)), want: "+open"},
		{name: "unknown, and the last ones", want: "-open_2 -open_3 -open_from_port -open -targets",
			shut: list(holeAt(99, 0), holeAt(2, 0), holeAt(3, 0), holeAt(5, 0), holeAt(6, 0))},
		{name: "again, for a moment", open: list(holeAt(7, 60*time.Second)), want: "+open +targets"},
		{name: "led elsewhere, in the place of the former", want: "-open -targets +open +targets",
			open: list(holeAt(8, 60*time.Second, elsewhere)), shut: list(holeAt(7, 0))},
		{name: "the kernel holds other than we think", tolerant: true, shut: list(holeAt(8, 0)),
			want: "+open -open +targets -targets"},
		{name: "about to end", open: list(holeAt(9, time.Second/2)), want: "+open +targets"},
		{name: "ended or not", shut: list(holeAt(9, 0)), want: "+open -open -targets"},
		{name: "over", open: list(holeAt(10, -time.Minute)), want: "+open +targets"},
		{name: "long over", shut: list(holeAt(10, 0)), want: ""},
		{name: "no hole", open: list(holeAt(11, time.Minute), holeAt(12, time.Minute, func(h *firewall.Hole) { h.Interface = "" }))},
		{name: "nothing of it is left", open: list(holeAt(13, time.Minute)), want: "+open +targets"},
	} {
		if is := transaction(t, f, step.tolerant, step.fails, step.open, step.shut); is != step.want {
			t.Errorf("%s: %s, want %s", step.name, is, step.want)
		}
	}
	if len(f.holes) != 1 || len(f.gates) != 1 || len(f.ways) != 1 {
		t.Errorf("left in the books: %d holes, %d gates, %d ways", len(f.holes), len(f.gates), len(f.ways))
	}
}

// TestGateKey: the layout is that of the set's type.
func TestGateKey(t *testing.T) {
	for _, four := range []bool{true, false} {
		for _, from := range []uint16{0, 20} {
			_, size := kind(words{four}.gateSet(from != 0, 0).key)
			if key := gateKey(sample(four, from)); len(key) != int(size) {
				t.Errorf("IPv4 %t, source port %d: a key of %d bytes in a set of %d", four, from, len(key), size)
			}
		}
	}
}
