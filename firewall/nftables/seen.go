package nftables

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/firewall"
)

// Attributes of the expression counter (linux/netfilter/nf_tables.h).
const counterPackets = 2

// Seen implements firewall.Counter by the counters of the pinholes' elements. After an error it returns those that it has.
func (b *Backend) Seen(holes ...firewall.Hole) (map[uint64]uint64, error) {
	seen := make(map[uint64]uint64, len(holes))
	for _, h := range holes {
		packets, known, err := b.counted(h)
		if err != nil {
			return seen, fmt.Errorf("reading the counter of pinhole %d: %w", h.ID, err)
		}
		if known {
			seen[h.ID] = packets
		}
	}
	return seen, nil
}

// counted asks for the counter of one element; known is false if it is not there any more.
func (b *Backend) counted(h firewall.Hole) (packets uint64, known bool, err error) {
	f := b.familyOf(h)
	own := f.holes[h.ID]
	if own == nil || b.on == nil {
		return 0, false, nil
	}
	q := &batch{}
	q.message(unix.NFT_MSG_GETSETELEM, 0, f.family(), "")
	q.text(unix.NFTA_SET_ELEM_LIST_TABLE, tableName)
	q.text(unix.NFTA_SET_ELEM_LIST_SET, own.set)
	list := q.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
	at := q.nest(unix.NFTA_LIST_ELEM)
	q.value(unix.NFTA_SET_ELEM_KEY, own.key)
	q.close(at)
	q.close(list)
	err = b.on.ask(q, func(attrs []byte) {
		each(find(attrs, unix.NFTA_SET_ELEM_LIST_ELEMENTS, unix.NFTA_LIST_ELEM, attrElemExprs), func(_ uint16, e []byte) {
			if text(find(e, unix.NFTA_EXPR_NAME)) == "counter" {
				packets, known = u64(find(e, unix.NFTA_EXPR_DATA, counterPackets)), true
			}
		})
	})
	if errors.Is(err, unix.ENOENT) { // it has ended just now
		return 0, false, nil
	}
	return packets, known, err
}

// ask sends one question and shows the attributes of its answer.
func (w *wire) ask(q *batch, see func(attrs []byte)) error {
	w.seq++
	q.seal()
	binary.NativeEndian.PutUint32(q.data[8:], w.seq)
	if err := w.send(q.data); err != nil {
		return err
	}
	for answered := false; !answered; {
		err := w.receive(func(h header, body []byte) error {
			switch {
			case h.seq != w.seq:
				return nil
			case h.kind == unix.NLMSG_ERROR:
				answered = true
				if code := errno(body); code != 0 {
					return code
				}
			default:
				answered = true
				see(body[4:])
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
