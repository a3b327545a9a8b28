package nat

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// message returns a message of conntrack about a tuple.
func message(t tuple, more ...*nl.RtAttr) []byte {
	header := (&nl.Nfgenmsg{NfgenFamily: t.family()}).Serialize()
	whole := slices.Concat(header, t.handle().attributes)
	for _, attribute := range more {
		whole = append(whole, attribute.Serialize()...)
	}
	return whole
}

func nested(attributeType int, children ...*nl.RtAttr) *nl.RtAttr {
	parent := nl.NewRtAttr(attributeType|unix.NLA_F_NESTED, nil)
	for _, child := range children {
		parent.AddChild(child)
	}
	return parent
}

var (
	tuple4 = tuple{netip.MustParseAddrPort("10.1.0.2:40000"), netip.MustParseAddrPort("10.1.0.1:50000")}
	tuple6 = tuple{netip.MustParseAddrPort("[fd01::2]:40000"), netip.MustParseAddrPort("[fd01::1]:50000")}
)

func TestParseEntry(t *testing.T) {
	for _, want := range []tuple{tuple4, tuple6} {
		e, ok := parseEntry(message(want,
			nl.NewRtAttr(nl.CTA_ID, nl.BEUint32Attr(7)),
			nl.NewRtAttr(nl.CTA_MARK, nl.BEUint32Attr(0x47000001)),
			nl.NewRtAttr(nl.CTA_ZONE, nl.BEUint16Attr(3)),
			nested(nl.CTA_PROTOINFO, nested(nl.CTA_PROTOINFO_TCP,
				nl.NewRtAttr(nl.CTA_PROTOINFO_TCP_STATE, nl.Uint8Attr(nl.TCP_CONNTRACK_TIME_WAIT)))),
			nested(nl.CTA_COUNTERS_ORIG,
				nl.NewRtAttr(nl.CTA_COUNTERS_PACKETS, nl.BEUint64Attr(5)),
				nl.NewRtAttr(nl.CTA_COUNTERS_BYTES, nl.BEUint64Attr(500))),
			nested(nl.CTA_COUNTERS_REPLY,
				nl.NewRtAttr(nl.CTA_COUNTERS_PACKETS, nl.BEUint64Attr(4)),
				nl.NewRtAttr(nl.CTA_COUNTERS_BYTES, nl.BEUint64Attr(400))),
		))
		if !ok || e.tuple != want || e.id != 7 || e.mark != 0x47000001 || !e.over() {
			t.Errorf("%v: %+v, %v", want, e, ok)
		}
		if e.original != (Traffic{Packets: 5, Bytes: 500}) || e.reply != (Traffic{Packets: 4, Bytes: 400}) {
			t.Errorf("counters: %+v, %+v", e.original, e.reply)
		}
		zone := nl.NewRtAttr(nl.CTA_ZONE, nl.BEUint16Attr(3)).Serialize()
		if got := e.handle(); got.family != want.family() ||
			!slices.Equal(got.attributes, slices.Concat(want.handle().attributes, zone)) {
			t.Errorf("handle: %x", got.attributes)
		}
	}
}

// Only a FIN of each side or a reset is an end.
func TestEntryIsOver(t *testing.T) {
	for state := uint8(nl.TCP_CONNTRACK_NONE); state <= nl.TCP_CONNTRACK_SYN_SENT2; state++ {
		want := state == nl.TCP_CONNTRACK_TIME_WAIT || state == nl.TCP_CONNTRACK_CLOSE
		if got := (entry{state: state}).over(); got != want {
			t.Errorf("state %d: %v", state, got)
		}
	}
}

// No message makes the parser fail, whatever is cut off or wrong in it.
func FuzzParseEntry(f *testing.F) {
	f.Add(message(tuple4, nl.NewRtAttr(nl.CTA_MARK, nl.BEUint32Attr(0x47000000))))
	f.Add(message(tuple6, nested(nl.CTA_COUNTERS_ORIG, nl.NewRtAttr(nl.CTA_COUNTERS_BYTES, nl.BEUint64Attr(1)))))
	f.Add(message(tuple4)[:30])
	f.Add([]byte{2, 0, 0, 0, 3, 0, 1, 128})
	f.Fuzz(func(t *testing.T, message []byte) {
		if e, ok := parseEntry(message); ok {
			e.handle()
		}
	})
}

func TestEstimatePayload(t *testing.T) {
	for name, test := range map[string]struct {
		original, reply         Traffic
		ipv4                    bool
		wantOriginal, wantReply uint64
	}{
		"nothing counted": {ipv4: true},
		"a SYN alone":     {original: Traffic{Packets: 1, Bytes: 60}, ipv4: true},
		"upload with timestamps": {
			original: Traffic{Packets: 103, Bytes: 60 + 102*52 + 100*1448}, reply: Traffic{Packets: 53, Bytes: 60 + 52*52},
			ipv4: true, wantOriginal: 144800,
		},
		"download with timestamps, IPv6": {
			original: Traffic{Packets: 53, Bytes: 80 + 52*72}, reply: Traffic{Packets: 103, Bytes: 80 + 102*72 + 100*1428},
			wantReply: 142800,
		},
		"download without timestamps": {
			original: Traffic{Packets: 53, Bytes: 52 + 52*40}, reply: Traffic{Packets: 103, Bytes: 52 + 102*40 + 100*1460},
			ipv4: true, wantReply: 146000,
		},
		"merged segments": { // as GRO delivers them: one header for many segments
			original: Traffic{Packets: 6, Bytes: 60 + 5*52 + 3*60000}, reply: Traffic{Packets: 4, Bytes: 60 + 3*52},
			ipv4: true, wantOriginal: 180000,
		},
		"empty file, reset without timestamps": {
			original: Traffic{Packets: 3, Bytes: 60 + 52 + 40}, reply: Traffic{Packets: 1, Bytes: 60},
			ipv4: true,
		},
	} {
		original, reply := estimatePayload(test.original, test.reply, test.ipv4)
		if original.Payload != test.wantOriginal || reply.Payload != test.wantReply {
			t.Errorf("%s: %d and %d, want %d and %d", name, original.Payload, reply.Payload, test.wantOriginal, test.wantReply)
		}
	}
}
