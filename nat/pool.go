package nat

import (
	"container/list"
	"crypto/rand"
	"encoding/binary"
	"time"
)

// pool holds the ports of one public address for one peer, as offsets into the range:
// free ones in no order, from which any can be taken at random, and resting ones in the
// order of their return. All it does takes constant time.
//
// The free ones are a list in which the offset at a place is the place itself unless
// moved says otherwise, so a pool needs memory for what is lent or at rest only.
type pool struct {
	count   int
	moved   map[uint16]uint16
	resting restQueue
}

// rest is a port at rest, in the queue of its pool and in that of all pools.
type rest struct {
	pool          portPool
	index         uint16
	since         time.Time
	inPool, inAll *list.Element
}

func newPool(size int) *pool {
	return &pool{count: size, moved: map[uint16]uint16{}}
}

// free returns how many ports can be taken without disturbing a rest.
func (p *pool) free() int { return p.count }

// take returns a free port drawn at random or else the one longest at rest.
func (p *pool) take(all *restQueue) (index uint16, ok bool) {
	if p.count == 0 {
		longest := p.resting.front()
		if longest == nil {
			return 0, false
		}
		p.wake(longest, all)
	}
	place := uint16(randomBelow(p.count))
	index = p.at(place)
	p.count--
	last := uint16(p.count)
	if place != last {
		p.moved[place] = p.at(last)
	}
	delete(p.moved, last)
	return index, true
}

func (p *pool) at(place uint16) uint16 {
	if index, moved := p.moved[place]; moved {
		return index
	}
	return place
}

// rest lays a taken port to rest.
func (p *pool) rest(name portPool, index uint16, now time.Time, all *restQueue) {
	r := &rest{pool: name, index: index, since: now}
	r.inPool = p.resting.push(r)
	r.inAll = all.push(r)
}

// wake makes a resting port free.
func (p *pool) wake(r *rest, all *restQueue) {
	p.resting.remove(r.inPool)
	all.remove(r.inAll)
	place := uint16(p.count)
	if r.index != place {
		p.moved[place] = r.index
	}
	p.count++
}

// restQueue holds resting ports, the longest at rest first.
type restQueue struct{ queue list.List }

func (q *restQueue) len() int                     { return q.queue.Len() }
func (q *restQueue) push(r *rest) *list.Element   { return q.queue.PushBack(r) }
func (q *restQueue) remove(element *list.Element) { q.queue.Remove(element) }

func (q *restQueue) front() *rest {
	if element := q.queue.Front(); element != nil {
		return element.Value.(*rest)
	}
	return nil
}

// randomBelow returns a number from 0 to n-1 that nobody can predict: who guesses the
// next port could take a data connection that is meant for another (RFC 6056).
func randomBelow(n int) int {
	var random [8]byte
	rand.Read(random[:]) // never fails
	// 64 random bits leave a bias below 2^-48.
	return int(binary.NativeEndian.Uint64(random[:]) % uint64(n))
}
