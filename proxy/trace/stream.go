package trace

import "slices"

const (
	// maxEarly bounds the segments of one direction that came before their turn.
	maxEarly = 64
	// maxEarlyBytes bounds their bytes. A control connection has little on the way at a time.
	maxEarlyBytes = 64 << 10
	// maxAhead is how far before its turn a segment can be, in bytes: more than a receiver of control lines ever allows. What is
	// further away follows a hole.
	maxAhead = 1 << 20
)

// stream puts the segments of one direction of a connection into their order.
type stream struct {
	synced bool // next is known
	next   uint32
	early  []early // in order of seq
	held   int     // bytes in early
	acked  uint32  // what the other side has
	heard  bool    // acked is known
}

// early is a segment that came before its turn.
type early struct {
	seq   uint32
	bytes []byte
	size  int // on the wire
}

// sink takes what a stream finds. lost bytes come between two calls of read.
type sink interface {
	// read takes the next bytes. They are in the memory of the segment that is being looked at, or copies.
	read(b []byte)
	lost(n int)
}

// open starts the stream behind a SYN.
func (s *stream) open(isn uint32) {
	*s = stream{synced: true, next: isn + 1}
}

// take takes a segment and gives the sink all whose turn has come. It returns how many bytes at the beginning of the
// payload, and whether all of it, were not given on as they are: what came twice or early.
func (s *stream) take(seg *Segment, to sink) (again int, early bool) {
	if !s.synced {
		s.synced, s.next = true, seg.Seq
	}
	off := ahead(s.next, seg.Seq)
	if off < -maxAhead && seg.Size > 0 {
		to.lost(ahead(seg.Seq, s.next))
		s.early, s.held, s.next, off = nil, 0, seg.Seq, 0
	}
	switch {
	case seg.Size == 0 || off >= seg.Size:
		return len(seg.Payload), false
	case off < 0:
		s.keep(seg)
		s.giveUp(to, false)
		return 0, true
	}
	s.deliver(seg.Payload[min(off, len(seg.Payload)):], seg.Size-off, to)
	s.catchUp(to)
	return min(off, len(seg.Payload)), false
}

// deliver gives bytes on, of which size were on the wire.
func (s *stream) deliver(b []byte, size int, to sink) {
	s.next += uint32(size)
	if len(b) > 0 {
		to.read(b)
	}
	if missing := size - len(b); missing > 0 {
		to.lost(missing)
	}
}

// keep keeps a copy of a segment until its turn.
func (s *stream) keep(seg *Segment) {
	at, same := slices.BinarySearchFunc(s.early, seg.Seq, func(e early, seq uint32) int { return ahead(e.seq, seq) })
	if same && s.early[at].size >= seg.Size {
		return
	}
	s.early = slices.Insert(s.early, at, early{seg.Seq, slices.Clone(seg.Payload), seg.Size})
	s.held += len(seg.Payload)
}

// catchUp gives on what was waiting for what has come.
func (s *stream) catchUp(to sink) {
	for len(s.early) > 0 && ahead(s.early[0].seq, s.next) <= 0 {
		e := s.early[0]
		s.early = slices.Delete(s.early, 0, 1)
		s.held -= len(e.bytes)
		if off := ahead(s.next, e.seq); off < e.size {
			s.deliver(e.bytes[min(off, len(e.bytes)):], e.size-off, to)
		}
	}
}

// confirm hears what the other side has got. What it has and was not seen here will not come any more.
func (s *stream) confirm(ack uint32, to sink) {
	if !s.heard || ahead(ack, s.acked) > 0 {
		s.acked, s.heard = ack, true
	}
	s.giveUp(to, false)
}

// giveUp passes over what is missing if the other side has it, if too much waits for it, or at the end.
func (s *stream) giveUp(to sink, end bool) {
	for len(s.early) > 0 {
		first := s.early[0]
		gap := ahead(first.seq, s.next)
		confirmed := s.heard && ahead(s.acked, first.seq) >= 0
		if gap > 0 && !confirmed && !end && len(s.early) <= maxEarly && s.held <= maxEarlyBytes {
			return
		}
		if gap > 0 {
			s.next = first.seq
			to.lost(gap)
		}
		s.catchUp(to)
	}
}
