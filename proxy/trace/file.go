package trace

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// ErrNotCapture is a file that holds no packets.
var ErrNotCapture = errors.New("neither pcap nor pcapng")

// pcapngMagic begins a section header block.
var pcapngMagic = []byte{0x0a, 0x0d, 0x0d, 0x0a}

// frame is what a file holds.
type frame struct {
	link layers.LinkType
	time time.Time
	on   string
	data []byte
	size int
}

// ReadFile gives the segments of a capture file, pcap or pcapng, to take, in the order of their times. The segment is
// taken's own. Of what is not to or from the control ports it has no payload. A file that ends in the middle of a packet, as that of
// a killed program, is read as far as it goes.
func ReadFile(r io.Reader, ports []uint16, take func(*Segment) error) error {
	next, err := openFile(bufio.NewReader(r))
	if err != nil {
		return err
	}
	d := NewDecoder()
	order := sorter{take: take}
	for {
		p, err := careful(next)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return order.flush()
		}
		if err != nil {
			return errors.Join(order.flush(), fmt.Errorf("reading packets: %w", err))
		}
		s := d.Frame(p.link, p.time, p.on, p.data, p.size)
		if s == nil {
			continue
		}
		if s.Rejected == "" && !slices.Contains(ports, s.Source.Port()) && !slices.Contains(ports, s.Destination.Port()) {
			s.Data = slices.Clone(s.Data[:len(s.Data)-len(s.Payload)])
			s.Payload = nil
		}
		if err := order.add(s); err != nil {
			return err
		}
	}
}

const (
	// disorder is how much earlier than one before it a packet may be. A program that captures on several interfaces writes
	// those of each as they come to it.
	disorder = 5 * time.Second
	// maxDisorder bounds the segments that wait for earlier ones.
	maxDisorder = 100_000
)

// sorter brings segments into the order of their times; those of one time stay as they came.
type sorter struct {
	take    func(*Segment) error
	waiting []*Segment // the earliest first
}

// add takes a segment, and gives away those that nothing earlier can come before any more.
func (o *sorter) add(s *Segment) error {
	at := len(o.waiting)
	for at > 0 && o.waiting[at-1].Time.After(s.Time) {
		at--
	}
	o.waiting = slices.Insert(o.waiting, at, s)
	latest := o.waiting[len(o.waiting)-1].Time
	ready := 0
	for ready < len(o.waiting) && (latest.Sub(o.waiting[ready].Time) > disorder || len(o.waiting)-ready > maxDisorder) {
		ready++
	}
	return o.give(ready)
}

// flush gives the rest away.
func (o *sorter) flush() error { return o.give(len(o.waiting)) }

func (o *sorter) give(n int) error {
	for _, s := range o.waiting[:n] {
		if err := o.take(s); err != nil {
			return err
		}
	}
	o.waiting = slices.Delete(o.waiting, 0, n)
	return nil
}

// careful makes an error of what a reader does about a block that is shorter than it should be.
func careful(next func() (frame, error)) (p frame, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the file is damaged: %v", r)
		}
	}()
	return next()
}

// openFile recognises the format.
func openFile(r *bufio.Reader) (next func() (frame, error), err error) {
	magic, err := r.Peek(len(pcapngMagic))
	if err != nil {
		return nil, fmt.Errorf("%w: it is shorter than that", ErrNotCapture)
	}
	if string(magic) != string(pcapngMagic) {
		file, err := pcapgo.NewReader(r)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotCapture, err)
		}
		return func() (frame, error) {
			data, info, err := file.ReadPacketData()
			return frame{file.LinkType(), info.Timestamp, "", data, info.Length}, err
		}, nil
	}
	var file *pcapgo.NgReader
	_, err = careful(func() (frame, error) {
		file, err = pcapgo.NewNgReader(r, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
		return frame{}, err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotCapture, err)
	}
	return func() (p frame, err error) {
		data, info, err := file.ReadPacketData()
		if err != nil {
			return p, err
		}
		on, err := file.Interface(info.InterfaceIndex)
		if err != nil {
			return p, err
		}
		return frame{on.LinkType, info.Timestamp, nameOf(on, info.InterfaceIndex), data, info.Length}, nil
	}, nil
}

// nameOf tells interfaces apart also if they have no name.
func nameOf(i pcapgo.NgInterface, index int) string {
	if i.Name == "" {
		return fmt.Sprintf("interface %d", index)
	}
	return i.Name
}
