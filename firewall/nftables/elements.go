package nftables

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// strays is what the sets hold and should not, and the other way round.
type strays struct {
	missing, foreign []element
}

// audit compares the elements in the kernel with the holes. An element that is about to end may be gone already.
func (f *family) audit(on *wire, now time.Time) (s strays, err error) {
	err = undisturbed(func() (err error) {
		s, err = f.auditOnce(on, now)
		return err
	})
	return s, err
}

func (f *family) auditOnce(on *wire, now time.Time) (s strays, err error) {
	want := map[gate]element{}
	for _, h := range f.holes {
		want[h.gate] = h.element()
	}
	for k, w := range f.ways {
		want[gate(k)] = w.element
	}
	var sets []string
	for i, fromPort := range []bool{false, true} {
		for layer := range f.layers[i] {
			sets = append(sets, gateName(fromPort, layer))
		}
	}
	for _, name := range append(sets, mapTargets, mapSources, mapMarks) {
		err := f.elements(on, name, func(e element) {
			g := gate{name, e.key}
			if w, ok := want[g]; ok && w.data == e.data {
				delete(want, g)
			} else {
				e.until = now.Add(longest) // it is there
				s.foreign = append(s.foreign, e)
			}
		})
		if err != nil {
			return s, err
		}
	}
	for _, e := range want {
		if e.until.Sub(now) > blurred {
			s.missing = append(s.missing, e)
		}
	}
	return s, nil
}

// elements shows what stands in one of our sets.
func (w words) elements(on *wire, set string, see func(element)) error {
	which := func(b *batch) {
		b.text(unix.NFTA_SET_ELEM_LIST_TABLE, tableName)
		b.text(unix.NFTA_SET_ELEM_LIST_SET, set)
	}
	err := on.dump(unix.NFT_MSG_GETSETELEM, w.family(), which, func(_ byte, attrs []byte) error {
		each(find(attrs, unix.NFTA_SET_ELEM_LIST_ELEMENTS), func(_ uint16, elem []byte) {
			see(element{set: set,
				key:  string(find(elem, unix.NFTA_SET_ELEM_KEY, unix.NFTA_DATA_VALUE)),
				data: string(find(elem, unix.NFTA_SET_ELEM_DATA, unix.NFTA_DATA_VALUE))})
		})
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading set %s: %w", set, err)
	}
	return nil
}

// mend adds the repair of the sets.
func (s strays) mend(w *writer) {
	for _, e := range s.foreign {
		w.remove(e, true)
	}
	for _, e := range s.missing {
		w.place(e, true)
	}
	w.finish()
}

func (s strays) damage() (damage []string) {
	if n := len(s.missing); n > 0 {
		damage = append(damage, fmt.Sprintf("table %s: elements of pinholes missing: %d", tableName, n))
	}
	if n := len(s.foreign); n > 0 {
		damage = append(damage, fmt.Sprintf("table %s: elements of no pinhole: %d", tableName, n))
	}
	return damage
}
