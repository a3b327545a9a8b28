package trace

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
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
//
// own gets the addresses of the host where trace has written the file, before the first segment; none of another's.
func ReadFile(r io.Reader, ports []uint16, own func([]netip.Addr), take func(*Segment) error) error {
	next, host, err := openFile(bufio.NewReader(r))
	if err != nil {
		return err
	}
	own(host)
	d := NewDecoder()
	order := NewOrder(disorder, take)
	for {
		p, err := careful(next)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return order.Flush()
		}
		if err != nil {
			return errors.Join(order.Flush(), fmt.Errorf("reading packets: %w", err))
		}
		s := d.Frame(p.link, p.time, p.on, p.data, p.size)
		if s == nil {
			continue
		}
		if s.Rejected == "" && !slices.Contains(ports, s.Source.Port()) && !slices.Contains(ports, s.Destination.Port()) {
			s.Data = slices.Clone(s.Data[:len(s.Data)-len(s.Payload)])
			s.Payload = nil
		}
		if err := order.Add(s); err != nil {
			return err
		}
	}
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
func openFile(r *bufio.Reader) (next func() (frame, error), host []netip.Addr, err error) {
	magic, err := r.Peek(len(pcapngMagic))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: it is shorter than that", ErrNotCapture)
	}
	if string(magic) != string(pcapngMagic) {
		file, err := pcapgo.NewReader(r)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrNotCapture, err)
		}
		return func() (frame, error) {
			data, info, err := file.ReadPacketData()
			return frame{file.LinkType(), info.Timestamp, "", data, info.Length}, err
		}, nil, nil
	}
	var file *pcapgo.NgReader
	_, err = careful(func() (frame, error) {
		file, err = pcapgo.NewNgReader(r, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
		return frame{}, err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrNotCapture, err)
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
	}, hostIn(file.SectionInfo()), nil
}

// nameOf tells interfaces apart also if they have no name.
func nameOf(i pcapgo.NgInterface, index int) string {
	if i.Name == "" {
		return fmt.Sprintf("interface %d", index)
	}
	return i.Name
}
