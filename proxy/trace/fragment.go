package trace

import (
	"encoding/binary"
	"slices"
	"time"
)

const (
	// maxDatagrams bounds the packets that wait for their fragments.
	maxDatagrams = 64
	// maxFragments bounds the fragments of one packet.
	maxFragments = 64
	// fragmentTime is how long a packet waits for its fragments (RFC 8200 §4.5).
	fragmentTime = 60 * time.Second
	// maxDatagram is the longest packet that can be fragmented, in bytes.
	maxDatagram = 65535
)

// fragment is a part of a packet.
type fragment struct {
	key    datagram
	header []byte // of IP, up to where the payload begins
	offset int    // of the payload, in bytes
	more   bool
	data   []byte
	next   byte // IPv6: the type of what comes behind the fragment header
	whole  bool // all of it was captured
}

// datagram is what fragments of one packet have in common.
type datagram struct {
	addresses string // both
	id        uint32
	on        string // the interface
}

// fragmentOf reads a packet that is a fragment. In IPv6 the fragment header must be the first extension.
func fragmentOf(p *Packet) (f fragment, ok bool) {
	d := p.Data
	f.whole = len(d) >= p.Length
	f.key.on = p.Interface
	switch d[0] >> 4 {
	case 4:
		flags := binary.BigEndian.Uint16(d[6:])
		length := int(d[0]&0x0f) * 4
		if flags&0x3fff == 0 || length < 20 || length > len(d) {
			return f, false
		}
		f.key.addresses, f.key.id = string(d[12:20]), uint32(binary.BigEndian.Uint16(d[4:]))
		f.header, f.data = d[:length], d[length:]
		f.offset, f.more = int(flags&0x1fff)*8, flags&0x2000 != 0
	case 6:
		if d[6] != 44 || len(d) < 48 {
			return f, false
		}
		flags := binary.BigEndian.Uint16(d[42:])
		f.key.addresses, f.key.id = string(d[8:40]), binary.BigEndian.Uint32(d[44:])
		f.header, f.data, f.next = d[:40], d[48:], d[40]
		f.offset, f.more = int(flags&^7), flags&1 != 0
	}
	return f, true
}

// fragments puts packets together again.
type fragments struct {
	waiting []*parts // the oldest first
}

type parts struct {
	key   datagram
	since time.Time
	got   []fragment // in order of their offsets
}

// add takes a fragment, and returns the whole packet with the last one. Fragments that overlap belong to nobody's good
// packet (RFC 5722): they are dropped with all that wait for the same one.
func (w *fragments) add(p *Packet, f fragment) *Packet {
	w.waiting = slices.DeleteFunc(w.waiting, func(d *parts) bool { return p.Time.Sub(d.since) > fragmentTime })
	i := slices.IndexFunc(w.waiting, func(d *parts) bool { return d.key == f.key })
	if i < 0 {
		if len(w.waiting) == maxDatagrams {
			w.waiting = slices.Delete(w.waiting, 0, 1)
		}
		i = len(w.waiting)
		w.waiting = append(w.waiting, &parts{key: f.key, since: p.Time})
	}
	d := w.waiting[i]
	f.header, f.data = slices.Clone(f.header), slices.Clone(f.data)
	at, same := slices.BinarySearchFunc(d.got, f.offset, func(g fragment, offset int) int { return g.offset - offset })
	if same && len(d.got[at].data) == len(f.data) {
		return nil // sent twice
	}
	if !f.whole || same || len(d.got) == maxFragments || f.offset+len(f.data) > maxDatagram {
		w.waiting = slices.Delete(w.waiting, i, i+1)
		return nil
	}
	d.got = slices.Insert(d.got, at, f)
	packet, done := d.whole(p)
	if done {
		w.waiting = slices.Delete(w.waiting, i, i+1)
	}
	return packet
}

// whole puts the packet together if nothing is missing. It is done, without a packet, if it cannot be right.
func (d *parts) whole(last *Packet) (packet *Packet, done bool) {
	end := 0
	for _, f := range d.got {
		if f.offset < end {
			return nil, true
		}
		if f.offset > end {
			return nil, false
		}
		end += len(f.data)
	}
	if d.got[len(d.got)-1].more {
		return nil, false
	}
	data := d.got[0].header
	for _, f := range d.got {
		data = append(data, f.data...)
	}
	if len(data) > maxDatagram {
		return nil, true
	}
	if data[0]>>4 == 4 {
		binary.BigEndian.PutUint16(data[2:], uint16(len(data)))
		binary.BigEndian.PutUint16(data[6:], 0)
		data[10], data[11] = 0, 0
		binary.BigEndian.PutUint16(data[10:], ^fold(sum(0, data[:len(d.got[0].header)])))
	} else {
		binary.BigEndian.PutUint16(data[4:], uint16(len(data)-40))
		data[6] = d.got[0].next
	}
	return &Packet{Time: last.Time, Interface: last.Interface, Data: data, Length: len(data)}, true
}
