package trace

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"strings"

	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// Numbers of pcapng (draft-ietf-opsawg-pcapng).
const (
	enhancedPacket = 6 // block type
	optionEnd      = 0
	optionComment  = 1
	// maxComment is the longest comment, in bytes. Its length has 16 bits.
	maxComment = 4 << 10
	// maxInterfaces bounds the interfaces of a file.
	maxInterfaces = 1024
)

// Recorder writes packets with comments as pcapng. pcapgo writes the blocks that it knows; it knows no comments on packets.
type Recorder struct {
	out        *bufio.Writer
	ng         *pcapgo.NgWriter // writes into out; nil: before the first packet
	interfaces map[string]int
	block      []byte
	host       []netip.Addr
}

// Host notes the addresses of the host in the file, before the first packet: who reads it knows then which connections are
// the gateway's.
func (r *Recorder) Host(own []netip.Addr) { r.host = own }

// What the comment on the file says.
const (
	fileComment = "Secrets are overwritten, and data connections have headers only."
	hostComment = "Addresses of this host: "
	application = "ftpgate trace"
)

// describe is the comment.
func (r *Recorder) describe() string {
	if len(r.host) == 0 {
		return fileComment
	}
	var own []string
	for _, a := range r.host[:min(len(r.host), maxInterfaces)] {
		own = append(own, a.String())
	}
	return fileComment + "\n" + hostComment + strings.Join(own, " ")
}

// hostIn reads the addresses of the host in a comment of ours.
func hostIn(info pcapgo.NgSectionInfo) (own []netip.Addr) {
	_, list, found := strings.Cut(info.Comment, hostComment)
	if !found || info.Application != application {
		return nil
	}
	for _, word := range strings.Fields(list) {
		if a, err := netip.ParseAddr(word); err == nil {
			own = append(own, a)
		}
	}
	return own
}

// NewRecorder returns a recorder. Flush it before w is closed.
func NewRecorder(w io.Writer) *Recorder {
	return &Recorder{out: bufio.NewWriter(w), interfaces: make(map[string]int)}
}

// Write writes the packet of a segment, without the payload if it is of a data connection: what is in files is nobody's
// business.
func (r *Recorder) Write(s *Segment, k Keep, comment string) error {
	if k == Nothing {
		return nil
	}
	on, err := r.interfaceOf(s.Interface)
	if err != nil {
		return fmt.Errorf("writing an interface: %w", err)
	}
	data := s.Data
	if k == Data && s.Rejected == "" {
		data = data[:len(data)-len(s.Payload)]
	}
	r.block = appendPacket(r.block[:0], on, s.Packet, data, comment)
	if _, err := r.out.Write(r.block); err != nil {
		return fmt.Errorf("writing a packet: %w", err)
	}
	return nil
}

// Flush writes what is buffered. A file without a packet is one all the same.
func (r *Recorder) Flush() error {
	if r.ng == nil {
		if _, err := r.interfaceOf("none"); err != nil {
			return err
		}
	}
	return r.out.Flush()
}

// interfaceOf returns the number of an interface, and describes it first if it is new. Packets are written from their IP
// header on, so that all interfaces are of one kind.
func (r *Recorder) interfaceOf(name string) (id int, err error) {
	if id, known := r.interfaces[name]; known {
		return id, nil
	}
	if len(r.interfaces) == maxInterfaces {
		return 0, nil
	}
	description := pcapgo.NgInterface{Name: name, OS: runtime.GOOS, LinkType: layers.LinkTypeRaw, TimestampResolution: 9}
	if r.ng == nil {
		r.ng, err = pcapgo.NewNgWriterInterface(r.out, description, pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{
			OS: runtime.GOOS, Application: application, Comment: r.describe(),
		}})
	} else {
		id, err = r.ng.AddInterface(description)
	}
	if err == nil {
		err = r.ng.Flush()
	}
	if err == nil {
		r.interfaces[name] = id
	}
	return id, err
}

// appendPacket appends an enhanced packet block.
func appendPacket(b []byte, on int, p *Packet, data []byte, comment string) []byte {
	little := binary.LittleEndian
	start := len(b)
	at := uint64(p.Time.UnixNano())
	b = little.AppendUint32(b, enhancedPacket)
	b = little.AppendUint32(b, 0) // the length, below
	b = little.AppendUint32(b, uint32(on))
	b = little.AppendUint32(b, uint32(at>>32))
	b = little.AppendUint32(b, uint32(at))
	b = little.AppendUint32(b, uint32(len(data)))
	b = little.AppendUint32(b, uint32(max(p.Length, len(data))))
	b = pad(append(b, data...))
	if comment != "" {
		comment = comment[:min(len(comment), maxComment)]
		b = little.AppendUint16(b, optionComment)
		b = little.AppendUint16(b, uint16(len(comment)))
		b = pad(append(b, comment...))
		b = little.AppendUint16(b, optionEnd)
		b = little.AppendUint16(b, 0)
	}
	length := uint32(len(b) - start + 4)
	little.PutUint32(b[start+4:], length)
	return little.AppendUint32(b, length)
}

// pad fills up to 32 bits. Blocks and options begin at such a boundary, and so does b.
func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}
