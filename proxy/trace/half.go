package trace

// half is one direction of a control connection.
type half struct {
	stream
	lines
	missing int // bytes lost since take
	ended   bool
}

// lost implements sink in place of both embedded parts: it counts as well.
func (h *half) lost(n int) {
	h.missing += n
	h.lines.lost(n)
}

// segment takes a segment, and overwrites what is secret in it, or may be. What came twice or before its turn is
// overwritten as a whole: which line it belongs to is not known, or no more.
func (h *half) segment(s *Segment) {
	if s.SYN {
		h.open(s.Seq)
		h.known = true
		return
	}
	if h.opaque {
		return
	}
	h.masked = false
	again, early := h.stream.take(s, h)
	switch {
	case early:
		h.mask(s.Payload, 0)
	case again > 0:
		h.mask(s.Payload[:again], 0)
	}
	s.masked = s.masked || h.masked
}

// takeLost returns how many bytes were lost since the last call.
func (h *half) takeLost() int {
	n := h.missing
	h.missing = 0
	return n
}
