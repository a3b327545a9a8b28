package nat

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// subsystem is NFNL_SUBSYS_CTNETLINK of linux/netfilter/nfnetlink.h.
const subsystem = 1

// ctMessage returns the netlink message type of an operation of conntrack.
func ctMessage(operation int) uint16 { return uint16(subsystem<<8 | operation) }

// attributeMarkMask is CTA_MARK_MASK: a listing is of the entries whose mark, under
// this mask, is CTA_MARK.
const attributeMarkMask = 21

// attributeHelp is CTA_HELP: the helper of a connection.
const attributeHelp = 5

// entry is one connection as conntrack describes it.
type entry struct {
	tuple    tuple
	id       uint32 // tells a connection from a later one of the same tuple
	mark     uint32
	state    uint8 // of TCP; TCP_CONNTRACK_NONE if the message has none
	original Traffic
	reply    Traffic
	helper   string // that works on the connection; "": none

	rawTuple []byte // CTA_TUPLE_ORIG and CTA_ZONE as they came, valid as long as the message
	rawZone  []byte
}

// over reports whether the connection has ended, though its entry lives on for a while.
// TIME_WAIT stands for a FIN from each side, acknowledged, CLOSE for a reset. LAST_ACK
// is not yet the end: what was lost before the last FIN may still be on its way.
func (e entry) over() bool {
	return e.state == nl.TCP_CONNTRACK_TIME_WAIT || e.state == nl.TCP_CONNTRACK_CLOSE
}

// handle is what the kernel needs to find an entry.
type handle struct {
	family     uint8
	attributes []byte
}

// handle returns that of the entry. The attributes are those of the kernel itself, so
// that an entry in a conntrack zone is found too.
func (e entry) handle() handle {
	attributes := rawAttribute(nl.CTA_TUPLE_ORIG|unix.NLA_F_NESTED, e.rawTuple)
	if e.rawZone != nil {
		attributes = append(attributes, rawAttribute(nl.CTA_ZONE, e.rawZone)...)
	}
	return handle{e.tuple.family(), attributes}
}

func rawAttribute(attributeType int, value []byte) []byte {
	return nl.NewRtAttr(attributeType, value).Serialize()
}

// parseEntry reads a message of conntrack. It reports false unless the message
// describes a TCP connection.
func parseEntry(message []byte) (e entry, ok bool) {
	if len(message) < nl.SizeofNfgenmsg {
		return entry{}, false
	}
	protocol := uint8(0)
	eachAttribute(message[nl.SizeofNfgenmsg:], func(attributeType uint16, value []byte) {
		switch attributeType {
		case nl.CTA_TUPLE_ORIG:
			e.tuple, protocol = parseTuple(value)
			e.rawTuple = value
		case nl.CTA_PROTOINFO:
			e.state = parseState(value)
		case nl.CTA_COUNTERS_ORIG:
			e.original = parseTraffic(value)
		case nl.CTA_COUNTERS_REPLY:
			e.reply = parseTraffic(value)
		case nl.CTA_MARK:
			e.mark = bigEndian32(value)
		case nl.CTA_ID:
			e.id = bigEndian32(value)
		case nl.CTA_ZONE:
			e.rawZone = value
		case attributeHelp:
			e.helper = parseHelper(value)
		}
	})
	return e, protocol == unix.IPPROTO_TCP && e.tuple.source.IsValid() && e.tuple.destination.IsValid()
}

func parseTuple(value []byte) (t tuple, protocol uint8) {
	var source, destination netip.Addr
	var sourcePort, destinationPort uint16
	eachAttribute(value, func(attributeType uint16, value []byte) {
		switch attributeType {
		case nl.CTA_TUPLE_IP:
			eachAttribute(value, func(attributeType uint16, value []byte) {
				switch attributeType {
				case nl.CTA_IP_V4_SRC, nl.CTA_IP_V6_SRC:
					source, _ = netip.AddrFromSlice(value)
				case nl.CTA_IP_V4_DST, nl.CTA_IP_V6_DST:
					destination, _ = netip.AddrFromSlice(value)
				}
			})
		case nl.CTA_TUPLE_PROTO:
			eachAttribute(value, func(attributeType uint16, value []byte) {
				switch {
				case attributeType == nl.CTA_PROTO_NUM && len(value) > 0:
					protocol = value[0]
				case attributeType == nl.CTA_PROTO_SRC_PORT && len(value) > 1:
					sourcePort = binary.BigEndian.Uint16(value)
				case attributeType == nl.CTA_PROTO_DST_PORT && len(value) > 1:
					destinationPort = binary.BigEndian.Uint16(value)
				}
			})
		}
	})
	return tuple{netip.AddrPortFrom(source, sourcePort), netip.AddrPortFrom(destination, destinationPort)}, protocol
}

func parseState(value []byte) (state uint8) {
	eachAttribute(value, func(attributeType uint16, value []byte) {
		if attributeType != nl.CTA_PROTOINFO_TCP {
			return
		}
		eachAttribute(value, func(attributeType uint16, value []byte) {
			if attributeType == nl.CTA_PROTOINFO_TCP_STATE && len(value) > 0 {
				state = value[0]
			}
		})
	})
	return state
}

// parseHelper reads CTA_HELP_NAME.
func parseHelper(value []byte) (name string) {
	const helpName = 1
	eachAttribute(value, func(attributeType uint16, value []byte) {
		if attributeType == helpName {
			name = unix.ByteSliceToString(value)
		}
	})
	return name
}

func parseTraffic(value []byte) (t Traffic) {
	eachAttribute(value, func(attributeType uint16, value []byte) {
		if len(value) < 8 {
			return
		}
		switch attributeType {
		case nl.CTA_COUNTERS_PACKETS:
			t.Packets = binary.BigEndian.Uint64(value)
		case nl.CTA_COUNTERS_BYTES:
			t.Bytes = binary.BigEndian.Uint64(value)
		}
	})
	return t
}

func bigEndian32(value []byte) uint32 {
	if len(value) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(value)
}

// eachAttribute visits the attributes of a message or of a nested attribute. What is
// cut short ends the visit.
func eachAttribute(attributes []byte, visit func(attributeType uint16, value []byte)) {
	for len(attributes) >= unix.SizeofRtAttr {
		length := int(binary.NativeEndian.Uint16(attributes))
		if length < unix.SizeofRtAttr || length > len(attributes) {
			return
		}
		attributeType := binary.NativeEndian.Uint16(attributes[2:]) & nl.NLA_TYPE_MASK
		visit(attributeType, attributes[unix.SizeofRtAttr:length])
		aligned := (length + unix.RTA_ALIGNTO - 1) &^ (unix.RTA_ALIGNTO - 1)
		attributes = attributes[min(aligned, len(attributes)):]
	}
}

// handle returns that of an entry outside of any zone.
func (t tuple) handle() handle {
	sourceType, destinationType := nl.CTA_IP_V6_SRC, nl.CTA_IP_V6_DST
	if t.source.Addr().Is4() {
		sourceType, destinationType = nl.CTA_IP_V4_SRC, nl.CTA_IP_V4_DST
	}
	original := nl.NewRtAttr(nl.CTA_TUPLE_ORIG|unix.NLA_F_NESTED, nil)
	addresses := original.AddRtAttr(nl.CTA_TUPLE_IP|unix.NLA_F_NESTED, nil)
	addresses.AddRtAttr(sourceType, t.source.Addr().AsSlice())
	addresses.AddRtAttr(destinationType, t.destination.Addr().AsSlice())
	ports := original.AddRtAttr(nl.CTA_TUPLE_PROTO|unix.NLA_F_NESTED, nil)
	ports.AddRtAttr(nl.CTA_PROTO_NUM, nl.Uint8Attr(unix.IPPROTO_TCP))
	ports.AddRtAttr(nl.CTA_PROTO_SRC_PORT, nl.BEUint16Attr(t.source.Port()))
	ports.AddRtAttr(nl.CTA_PROTO_DST_PORT, nl.BEUint16Attr(t.destination.Port()))
	return handle{t.family(), original.Serialize()}
}

func (t tuple) family() uint8 {
	if t.source.Addr().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// conntrack asks the kernel about entries. It may be used from several goroutines.
type conntrack struct {
	mark, mask uint32
	socket     *nl.SocketHandle
}

func openConntrack(mark, mask uint32) (*conntrack, error) {
	here := netns.None()
	socket, err := nl.GetNetlinkSocketAt(here, here, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket for conntrack: %w", err)
	}
	timeout := unix.NsecToTimeval(netlinkTimeout.Nanoseconds())
	_ = socket.SetSendTimeout(&timeout) // these two only note the value
	_ = socket.SetReceiveTimeout(&timeout)
	return &conntrack{mark: mark, mask: mask, socket: &nl.SocketHandle{Socket: socket}}, nil
}

func (c *conntrack) close() { c.socket.Close() }

// execute sends one request and returns the answers. The kernel wants the family of the
// tuple in a request for one entry; a listing without one is of all families.
func (c *conntrack) execute(operation, flags int, h handle) ([][]byte, error) {
	request := nl.NewNetlinkRequest(int(ctMessage(operation)), flags)
	request.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_NETFILTER: c.socket}
	request.AddData(&nl.Nfgenmsg{NfgenFamily: h.family, Version: nl.NFNETLINK_V0})
	request.AddRawData(h.attributes)
	return request.Execute(unix.NETLINK_NETFILTER, 0)
}

// get returns an entry, ENOENT if there is none. The kernel announces more than its one
// answer (NLM_F_MULTI) and sends no end of it, so an acknowledgement is asked for.
func (c *conntrack) get(h handle) (entry, error) {
	messages, err := c.execute(nl.IPCTNL_MSG_CT_GET, unix.NLM_F_ACK, h)
	if err != nil {
		return entry{}, err
	}
	for _, message := range messages {
		if e, ok := parseEntry(message); ok {
			return e, nil
		}
	}
	return entry{}, unix.ENOENT
}

// remove removes an entry if it has the id.
func (c *conntrack) remove(h handle, id uint32) error {
	h.attributes = slices.Concat(h.attributes, rawAttribute(nl.CTA_ID, nl.BEUint32Attr(id)))
	_, err := c.execute(nl.IPCTNL_MSG_CT_DELETE, unix.NLM_F_ACK, h)
	return err
}

// list returns every marked entry. The kernel picks them.
func (c *conntrack) list() ([]entry, error) {
	marked := handle{unix.AF_UNSPEC, slices.Concat(
		rawAttribute(nl.CTA_MARK, nl.BEUint32Attr(c.mark)),
		rawAttribute(attributeMarkMask, nl.BEUint32Attr(c.mask)),
	)}
	return dump(func() (entries []entry, err error) {
		messages, err := c.execute(nl.IPCTNL_MSG_CT_GET, unix.NLM_F_DUMP, marked)
		for _, message := range messages {
			if e, ok := parseEntry(message); ok && e.mark&c.mask == c.mark {
				entries = append(entries, e)
			}
		}
		return entries, err
	})
}
