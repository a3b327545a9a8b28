package nftables

import (
	"fmt"

	"github.com/ftpgate/ftpgate/firewall"
)

// maxLayers bounds how many pinholes for one and the same connection are open at a time. Servers that offer one passive
// port to all sessions of a client need as many as it has sessions.
const maxLayers = 64

// family is what we have in the table of one family.
type family struct {
	words
	installed bool
	layers    [2]int           // sets of pinholes that exist, by whether they require a source port
	exposed   []string         // interfaces of the WAN that the host's own rules leave open, of a frame that forwards
	guarded   []string         // those that the rules in place go by
	normal    [parts][]string  // the static part as the kernel shows it
	holes     map[uint64]*held // what is open

	gates map[gate]bool   // which elements of the sets of pinholes are taken
	ways  map[wayKey]*way // elements of the maps
	dirty []*way          // those that the transaction in the making changes
	undo  undo
}

// held is a hole and its element.
type held struct {
	firewall.Hole
	gate
}

type gate struct{ set, key string }

type wayKey struct{ set, key string }

// way is an element of a map. Pinholes that agree in its key agree in its data, see firewall.ErrConflict, and share it.
type way struct {
	element         // as it should be
	is      element // as it stands in the kernel; without an end: it does not
	uses    int
	seen    bool // it is in dirty
}

// present and right tell what the kernel has of it.
func (w *way) present() bool { return !w.is.until.IsZero() }
func (w *way) right() bool   { return w.is.until.Equal(w.until) && w.is.data == w.data }

// undo is what takes a plan back.
type undo struct {
	opened []uint64
	shut   []*held
	layers [2]int
}

func newFamily(four bool) *family {
	f := &family{words: words{four}}
	f.forget()
	return f
}

// forget is the state before Install.
func (f *family) forget() {
	f.installed, f.exposed, f.guarded = false, nil, nil
	f.layers = [2]int{1, 1}
	f.normal = [parts][]string{}
	f.holes = map[uint64]*held{}
	f.rebuild()
}

// rebuild derives from the holes what is taken in the kernel, as it is when they are all there.
func (f *family) rebuild() {
	f.gates = make(map[gate]bool, len(f.holes))
	f.ways = make(map[wayKey]*way, 2*len(f.holes))
	f.dirty = nil
	for _, h := range f.holes {
		f.gates[h.gate] = true
		f.lead(h.Hole)
	}
	f.settle()
}

// settle is for the moment when the kernel has done what was planned.
func (f *family) settle() {
	for _, w := range f.dirty {
		w.seen, w.is = false, w.element
		if w.uses == 0 {
			delete(f.ways, wayKey{w.set, w.key})
		}
	}
	f.dirty = f.dirty[:0]
}

// plan takes opens and shuts into our books and returns the elements of the sets of pinholes that come and go. When it
// fails, or the kernel does, takeBack must follow; else settle.
func (f *family) plan(open, shut []firewall.Hole) (come, gone []element, err error) {
	f.undo = undo{layers: f.layers}
	for _, h := range shut {
		if was, ok := f.holes[h.ID]; ok {
			f.undo.shut = append(f.undo.shut, was)
			gone = append(gone, f.drop(was))
		}
	}
	for _, h := range open {
		e, err := f.take(h)
		if err != nil {
			return nil, nil, err
		}
		f.undo.opened = append(f.undo.opened, h.ID)
		come = append(come, e)
	}
	return come, gone, nil
}

func (f *family) takeBack() {
	for _, id := range f.undo.opened {
		delete(f.holes, id)
	}
	for _, h := range f.undo.shut {
		f.holes[h.ID] = h
	}
	f.layers = f.undo.layers
	f.rebuild()
}

func (f *family) drop(h *held) element {
	delete(f.holes, h.ID)
	delete(f.gates, h.gate)
	for _, of := range ways {
		if e, ok := of(h.Hole); ok {
			w := f.ways[wayKey{e.set, e.key}]
			w.uses--
			f.touch(w)
		}
	}
	return h.element()
}

func (h *held) element() element {
	return element{set: h.set, key: h.key, until: h.Expires, hole: h.ID, session: h.Session}
}

func (f *family) take(h firewall.Hole) (element, error) {
	if err := h.Validate(); err != nil {
		return element{}, err
	}
	fromPort := h.SourcePort != 0
	g := gate{gateName(fromPort, 0), gateKey(h)}
	layer := 0
	for ; f.gates[g]; g.set = gateName(fromPort, layer) {
		if layer++; layer == maxLayers {
			return element{}, fmt.Errorf("%w: %d for one connection, %s", firewall.ErrTooMany, maxLayers, h)
		}
	}
	if n := &f.layers[index(fromPort)]; layer >= *n {
		*n = layer + 1
	}
	f.gates[g] = true
	own := &held{h, g}
	f.holes[h.ID] = own
	f.lead(h)
	return own.element(), nil
}

func index(fromPort bool) int {
	if fromPort {
		return 1
	}
	return 0
}

// lead counts the hole among the users of its elements in maps.
func (f *family) lead(h firewall.Hole) {
	for _, of := range ways {
		e, ok := of(h)
		if !ok {
			continue
		}
		w := f.ways[wayKey{e.set, e.key}]
		if w == nil {
			w = &way{element: e}
			f.ways[wayKey{e.set, e.key}] = w
		}
		if w.uses == 0 {
			w.element = e // a way that no hole uses any more may be led elsewhere in the same transaction
		}
		w.uses++
		if e.until.After(w.until) {
			w.until = e.until
		}
		f.touch(w)
	}
}

func (f *family) touch(w *way) {
	if !w.seen {
		w.seen = true
		f.dirty = append(f.dirty, w)
	}
}

// write adds what was planned to a transaction: what goes before what comes, since the one may make room for the other.
// tolerant is for a kernel that does not hold what our books say.
func (f *family) write(w *writer, come, gone []element, tolerant bool) {
	for _, e := range gone {
		w.remove(e, tolerant)
	}
	f.eachDirty(func(y *way) {
		if y.present() && (y.uses == 0 || !y.right()) {
			w.remove(y.is, tolerant)
		}
	})
	for _, e := range come {
		w.place(e, tolerant)
	}
	f.eachDirty(func(y *way) {
		if y.uses > 0 && !y.right() {
			w.place(y.element, tolerant)
		}
	})
	w.finish()
}

// eachDirty goes map by map: what stands in one map goes in one message.
func (f *family) eachDirty(do func(*way)) {
	for _, name := range [...]string{mapTargets, mapSources, mapMarks} {
		for _, y := range f.dirty {
			if y.set == name {
				do(y)
			}
		}
	}
}

// place adds an element; tolerant: in the place of whatever is there under its key.
func (w *writer) place(e element, tolerant bool) {
	if tolerant {
		w.remove(e, true)
	}
	w.add(e, false)
}
