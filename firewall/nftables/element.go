package nftables

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/firewall"
)

const (
	// shortest is the least timeout that is given to the kernel: it counts in ticks of up to 10 ms, and none at all would
	// mean for ever.
	shortest = 100 * time.Millisecond
	// longest bounds the number of milliseconds for the clock of a host that jumps.
	longest = 24 * time.Hour
	// blurred is the time before and after an element's end in which it may be there or not.
	blurred = time.Second
	// translationRest is how much longer than its pinhole a translation stays: what was admitted at the last moment is
	// led where it should go. By itself it admits nothing.
	translationRest = time.Second
	// maxElements bounds what one message holds: the length of an attribute is a number of 16 bits, an element has up to
	// 180 bytes.
	maxElements = 256
)

// element is what stands in one of our sets, or maps if it has data.
type element struct {
	set     string
	key     string
	data    string
	until   time.Time
	hole    uint64 // the pinhole and the session that it was made for
	session uint64
}

// gateKey is what the first packet of the pinhole's connection is recognised by.
func gateKey(h firewall.Hole) string {
	key := make([]byte, 0, 64)
	key = append(key, h.Interface...)
	for len(key) < unix.IFNAMSIZ {
		key = append(key, 0)
	}
	key = append(key, h.Source.AsSlice()...)
	if h.SourcePort != 0 {
		key = append(key, byte(h.SourcePort>>8), byte(h.SourcePort), 0, 0)
	}
	key = append(key, h.Destination.Addr().AsSlice()...)
	p := h.Destination.Port()
	return string(append(key, byte(p>>8), byte(p), 0, 0))
}

// ways are what stands in our maps for a pinhole; false: nothing.
var ways = [...]func(firewall.Hole) (e element, some bool){target, source, steering}

// steering is the mark that the connection bears for the host's routing.
func steering(h firewall.Hole) (element, bool) {
	e := element{
		set:   mapMarks,
		key:   addressKey(h.Source) + addressKey(h.Destination.Addr()) + pad4(h.Destination.Port()),
		data:  string(host32(h.Mark)),
		until: h.Expires.Add(translationRest), hole: h.ID, session: h.Session,
	}
	return e, h.Mark != 0
}

// target and source are the translations of the pinhole.
func target(h firewall.Hole) (element, bool) {
	if !h.Target.IsValid() {
		return element{}, false
	}
	return element{
		set:   mapTargets,
		key:   addressKey(h.Source) + addressKey(h.Destination.Addr()) + pad4(h.Destination.Port()),
		data:  addressKey(h.Target.Addr()) + pad4(h.Target.Port()),
		until: h.Expires.Add(translationRest), hole: h.ID, session: h.Session,
	}, true
}

func source(h firewall.Hole) (element, bool) {
	if !h.SourceAs.IsValid() {
		return element{}, false
	}
	to := h.Onward()
	return element{
		set:   mapSources,
		key:   addressKey(h.Source) + addressKey(to.Addr()) + pad4(to.Port()),
		data:  addressKey(h.SourceAs),
		until: h.Expires.Add(translationRest), hole: h.ID, session: h.Session,
	}, true
}

// writer adds elements to a batch, gathered by what is done to which set.
type writer struct {
	*batch
	family byte
	table  string
	now    time.Time
	kind   uint16 // of the open message; 0: none is open
	flags  uint16
	set    string
	list   int // where the open list of elements begins
	count  int
}

func (w *writer) begin(kind, flags uint16, set string) {
	if w.kind == kind && w.flags == flags && w.set == set && w.count < maxElements {
		w.count++
		return
	}
	w.finish()
	w.kind, w.flags, w.set, w.count = kind, flags, set, 1
	w.message(kind, flags, w.family, "changing "+set)
	w.text(unix.NFTA_SET_ELEM_LIST_TABLE, w.table)
	w.text(unix.NFTA_SET_ELEM_LIST_SET, set)
	w.list = w.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
}

// finish closes the open message; it must be called before others are added to the batch.
func (w *writer) finish() {
	if w.count > 0 {
		w.close(w.list)
	}
	w.kind, w.count = 0, 0
}

// add puts an element in place. The kernel refuses one that is there already, unless any will do.
func (w *writer) add(e element, any bool) {
	flags := uint16(unix.NLM_F_CREATE | unix.NLM_F_EXCL)
	if any {
		flags = unix.NLM_F_CREATE
	}
	w.begin(unix.NFT_MSG_NEWSETELEM, flags, e.set)
	at := w.nest(unix.NFTA_LIST_ELEM)
	w.value(unix.NFTA_SET_ELEM_KEY, e.key)
	if e.data != "" {
		w.value(unix.NFTA_SET_ELEM_DATA, e.data)
	}
	rest := min(max(e.until.Sub(w.now), shortest), longest)
	w.u64(unix.NFTA_SET_ELEM_TIMEOUT, uint64(rest.Milliseconds()))
	w.comment(unix.NFTA_SET_ELEM_USERDATA, commentOfElement, fmt.Sprintf("ftpgate %d session %d", e.hole, e.session))
	w.batch.close(at)
}

// remove takes an element away. The kernel refuses to if it is not there, and has no other command before Linux 6.3; so
// one that may have ended is put in place first, which no packet sees.
func (w *writer) remove(e element, tolerant bool) {
	rest := e.until.Sub(w.now)
	if rest < -blurred {
		return
	}
	if tolerant || rest < blurred {
		w.add(e, true)
	}
	w.begin(unix.NFT_MSG_DELSETELEM, 0, e.set)
	at := w.nest(unix.NFTA_LIST_ELEM)
	w.value(unix.NFTA_SET_ELEM_KEY, e.key)
	w.batch.close(at)
}
