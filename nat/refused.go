package nat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/vishvananda/netlink/nl"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

const (
	// keptRefused bounds the refused packets that are kept.
	keptRefused = 512
	// refusedCopy is how much of a packet is looked at, in bytes: its headers.
	refusedCopy = 128
	// refusedBuffer holds any one message.
	refusedBuffer = 16 << 10
)

// Numbers of linux/netfilter/nfnetlink_log.h.
const (
	logSubsystem = 4 // NFNL_SUBSYS_ULOG
	logPacket    = logSubsystem<<8 | 0
	logConfig    = logSubsystem<<8 | 1

	configCommand   = 1 // NFULA_CFG_CMD
	configMode      = 2 // NFULA_CFG_MODE
	configThreshold = 5 // NFULA_CFG_QTHRESH
	commandBind     = 1
	modePacket      = 2

	attributeInput   = 4 // NFULA_IFINDEX_INDEV
	attributePayload = 9
)

// RefusedPacket is the beginning of a connection that no pinhole has admitted.
type RefusedPacket struct {
	Time                time.Time // of its arrival here
	Interface           string    // by which it came; "" if it has gone since
	Source, Destination netip.AddrPort
}

// Refused keeps the last packets that a rule has sent to a group of NFLOG.
type Refused struct {
	log    *zap.Logger
	routes *Routes // name the interfaces
	file   *os.File
	raw    syscall.RawConn
	done   chan struct{} // the reader has ended

	parser  [2]*gopacket.DecodingLayerParser // of IPv4, IPv6
	ip4     layers.IPv4
	ip6     layers.IPv6
	tcp     layers.TCP
	decoded []gopacket.LayerType

	mu     sync.Mutex
	kept   []RefusedPacket // the oldest first
	seen   uint64
	lost   uint64 // how often the kernel had more than the socket could take
	closed bool
}

// WatchRefused reads a group of NFLOG, which nobody else may read: the error is then
// EBUSY or EPERM. It takes CAP_NET_ADMIN. The caller closes what it returns, and the routes,
// which name the interfaces, after it.
func WatchRefused(log *zap.Logger, routes *Routes, group uint16) (*Refused, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket for refused packets: %w", err)
	}
	if err := bindLog(fd, group); err != nil {
		unix.Close(fd)
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "refused packets")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("read refused packets: %w", err)
	}
	r := &Refused{log: log, routes: routes, file: file, raw: raw, done: make(chan struct{})}
	r.parser[0] = gopacket.NewDecodingLayerParser(layers.LayerTypeIPv4, &r.ip4, &r.tcp)
	r.parser[1] = gopacket.NewDecodingLayerParser(layers.LayerTypeIPv6, &r.ip6, &r.tcp)
	for _, p := range r.parser {
		p.IgnoreUnsupported = true
	}
	go r.read()
	return r, nil
}

// bindLog takes the group and asks for the headers of each packet at once.
func bindLog(fd int, group uint16) error {
	err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if err == nil { // nobody but the kernel can send to a connected socket
		err = unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}
	if err != nil {
		return fmt.Errorf("prepare a netlink socket for refused packets: %w", err)
	}
	mode := binary.BigEndian.AppendUint32(nil, refusedCopy)
	for seq, attribute := range [][]byte{
		rawAttribute(configCommand, []byte{commandBind}),
		rawAttribute(configMode, append(mode, modePacket, 0)),
		rawAttribute(configThreshold, binary.BigEndian.AppendUint32(nil, 1)),
	} {
		if err := configureLog(fd, group, uint32(seq+1), attribute); err != nil {
			if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EPERM) {
				return fmt.Errorf("read NFLOG group %d, which another program reads or which takes CAP_NET_ADMIN: %w", group, err)
			}
			return fmt.Errorf("read NFLOG group %d: %w", group, err)
		}
	}
	return nil
}

// configureLog sends one request and waits for its acknowledgement, which is there
// when the request has been taken.
func configureLog(fd int, group uint16, seq uint32, attribute []byte) error {
	length := unix.SizeofNlMsghdr + nl.SizeofNfgenmsg + len(attribute)
	request := binary.NativeEndian.AppendUint32(nil, uint32(length))
	request = binary.NativeEndian.AppendUint16(request, logConfig)
	request = binary.NativeEndian.AppendUint16(request, unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	request = binary.NativeEndian.AppendUint32(request, seq)
	request = binary.NativeEndian.AppendUint32(request, 0)
	request = append(request, unix.AF_UNSPEC, nl.NFNETLINK_V0)
	request = binary.BigEndian.AppendUint16(request, group)
	request = append(request, attribute...)
	if _, err := unix.Write(fd, request); err != nil {
		return os.NewSyscallError("write", err)
	}
	answer := make([]byte, refusedBuffer)
	for {
		n, err := unix.Read(fd, answer)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("read", err)
		}
		messages, err := syscall.ParseNetlinkMessage(answer[:n])
		if err != nil {
			return err
		}
		for _, m := range messages { // packets may come already
			if m.Header.Type == unix.NLMSG_ERROR && m.Header.Seq == seq && len(m.Data) >= 4 {
				if code := int32(binary.NativeEndian.Uint32(m.Data)); code != 0 {
					return unix.Errno(-code)
				}
				return nil
			}
		}
	}
}

// read takes packets until Close.
func (r *Refused) read() {
	defer close(r.done)
	buffer := make([]byte, refusedBuffer)
	for {
		var n int
		var failed error
		err := r.raw.Read(func(fd uintptr) bool {
			n, failed = unix.Read(int(fd), buffer)
			return failed != unix.EAGAIN
		})
		switch {
		case err != nil: // closed
			return
		case errors.Is(failed, unix.ENOBUFS):
			r.mu.Lock()
			r.lost++
			r.mu.Unlock()
			continue
		case failed == unix.EINTR:
			continue
		case failed != nil:
			r.log.Error("cannot read refused packets", zap.Error(failed))
			return
		}
		messages, err := syscall.ParseNetlinkMessage(buffer[:n])
		if err != nil {
			continue // cut short: the next one is whole
		}
		for _, m := range messages {
			if m.Header.Type == logPacket && len(m.Data) > nl.SizeofNfgenmsg {
				r.take(m.Data[nl.SizeofNfgenmsg:])
			}
		}
	}
}

// take keeps one packet, if it is one of TCP.
func (r *Refused) take(attributes []byte) {
	p := RefusedPacket{Time: time.Now()}
	found := false
	eachAttribute(attributes, func(attributeType uint16, value []byte) {
		switch attributeType {
		case attributeInput:
			p.Interface, _ = r.routes.InterfaceName(int(bigEndian32(value)))
		case attributePayload:
			p.Source, p.Destination, found = r.decode(value)
		}
	})
	if !found {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen++
	if len(r.kept) == keptRefused {
		r.kept = slices.Delete(r.kept, 0, keptRefused/4)
	}
	r.kept = append(r.kept, p)
}

// decode reads the headers of a packet, which may be cut off behind them.
func (r *Refused) decode(packet []byte) (source, destination netip.AddrPort, ok bool) {
	if len(packet) == 0 {
		return source, destination, false
	}
	parser := r.parser[0]
	if packet[0]>>4 == 6 {
		parser = r.parser[1]
	}
	_ = parser.DecodeLayers(packet, &r.decoded) // what it could not read is not among the decoded
	if !slices.Contains(r.decoded, layers.LayerTypeTCP) {
		return source, destination, false
	}
	from, to := r.ip4.SrcIP, r.ip4.DstIP
	if packet[0]>>4 == 6 {
		from, to = r.ip6.SrcIP, r.ip6.DstIP
	}
	a, fine := netip.AddrFromSlice(from)
	b, good := netip.AddrFromSlice(to)
	return netip.AddrPortFrom(a.Unmap(), uint16(r.tcp.SrcPort)), netip.AddrPortFrom(b.Unmap(), uint16(r.tcp.DstPort)), fine && good
}

// Since returns the packets that came at or after a moment, the oldest first.
func (r *Refused) Since(moment time.Time) []RefusedPacket {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := slices.IndexFunc(r.kept, func(p RefusedPacket) bool { return !p.Time.Before(moment) })
	if first < 0 {
		return nil
	}
	return slices.Clone(r.kept[first:])
}

// Stats returns how many packets came, and how often some were lost.
func (r *Refused) Stats() (seen, lost uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen, r.lost
}

// Close ends the watching. It may be called again.
func (r *Refused) Close() error {
	r.mu.Lock()
	closed := r.closed
	r.closed = true
	r.mu.Unlock()
	if closed {
		<-r.done
		return nil
	}
	err := r.file.Close()
	<-r.done
	if err != nil {
		return fmt.Errorf("stop watching refused packets: %w", err)
	}
	return nil
}
