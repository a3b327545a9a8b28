package nat

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

const (
	// recentTime is what TIME_WAIT lasts in conntrack (nf_conntrack_tcp_timeout_time_wait).
	recentTime = 2 * time.Minute
	// recentBits is the room for some hundred thousand addresses of one recentTime.
	recentBits = 1 << 20
)

// recent remembers which addresses have come up in the last recentTime, or in the last
// two. A few that have not are taken for such that have: it holds hashes, in 256 KiB
// however many come. The zero value is ready.
type recent struct {
	mu     sync.Mutex
	seed   maphash.Seed
	since  time.Time // when young began
	young  *[recentBits / 64]uint64
	former *[recentBits / 64]uint64
}

// again notes an address, and reports whether it is there already.
func (r *recent) again(address netip.AddrPort, now time.Time) (known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if age := now.Sub(r.since); r.young == nil || age >= recentTime {
		r.former = r.young
		if r.former == nil || age >= 2*recentTime {
			r.former = new([recentBits / 64]uint64)
		}
		if r.young == nil {
			r.seed = maphash.MakeSeed()
		}
		r.young, r.since = new([recentBits / 64]uint64), now
	}
	hash := maphash.Comparable(r.seed, address)
	place, bit := hash/64%uint64(len(r.young)), uint64(1)<<(hash%64)
	known = (r.young[place]|r.former[place])&bit != 0
	r.young[place] |= bit
	return known
}
