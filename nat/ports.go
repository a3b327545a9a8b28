package nat

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrExhausted means that no public port of the range is left for a peer.
var ErrExhausted = errors.New("no public port is free")

// portRest is how long a returned port rests before the same peer may get it again: a
// late segment of its old connection must not meet the new one (RFC 9293 2MSL is 240 s,
// Linux holds TIME_WAIT for 60 s). Under need the longest at rest is lent earlier.
const portRest = 60 * time.Second

// maxPortAttempts bounds the ports tried in one Lend that local sockets turn out to hold.
const maxPortAttempts = 256

// Ports lends ports of one range of public ports to data connections. A port is lent on
// a public address to one peer; other peers may have the same port at the same time,
// for the peer's address tells their connections apart. A lent port is drawn at random
// from those that the peer does not hold and that have rested (RFC 6056 4). While it is
// lent, a bound socket keeps local services and ephemeral ports off it.
type Ports struct {
	first uint16
	size  int

	mu      sync.Mutex
	pools   map[portPool]*pool
	holds   map[netip.AddrPort]*hold
	resting restQueue // of all pools, longest at rest first
	lent    int
	shared  int
	refused uint64
}

// portPool names the ports that a peer may use on a public address.
type portPool struct{ public, peer netip.Addr }

// hold is the socket that keeps a lent port for us.
type hold struct {
	fd    int // -1 where the public address is not the host's: nothing local can take it
	users int
}

// PortStats tells the use of a range at one moment.
type PortStats struct {
	Size    int    // ports in the range
	Lent    int    // lent now, a shared one counted for each peer
	Resting int    // returned less than 60 s ago
	Shared  int    // of the lent ones, how many beyond the first on one public port
	Refused uint64 // how often Lend has failed
}

// NewPorts returns the range from first to last, both included. It panics if that is
// empty or holds port 0.
func NewPorts(first, last uint16) *Ports {
	if first == 0 || last < first {
		panic(fmt.Sprintf("nat: no ports from %d to %d", first, last))
	}
	return &Ports{
		first: first,
		size:  int(last-first) + 1,
		pools: map[portPool]*pool{},
		holds: map[netip.AddrPort]*hold{},
	}
}

// Lend draws a port on a public address for connections with peer. It never returns a
// port that a local socket is bound to. The error is ErrExhausted or that of a socket.
func (p *Ports) Lend(public, peer netip.Addr) (*Port, error) {
	public, peer = public.Unmap(), peer.Unmap()
	p.mu.Lock()
	defer p.mu.Unlock()
	number, err := p.draw(portPool{public, peer})
	if err != nil {
		p.refused++
		return nil, fmt.Errorf("lend a public port on %s to %s: %w", public, peer, err)
	}
	p.lent++
	return &Port{ports: p, pool: portPool{public, peer}, number: number}, nil
}

// draw takes a port out of the pool and holds it.
func (p *Ports) draw(name portPool) (uint16, error) {
	now := time.Now()
	p.wake(now)
	members := p.pools[name]
	if members == nil {
		members = newPool(p.size)
		p.pools[name] = members
	}
	defer p.drop(name)
	for range min(maxPortAttempts, members.free()+members.resting.len()) {
		index, ok := members.take(&p.resting)
		if !ok {
			break
		}
		number := p.first + index
		err := p.hold(netip.AddrPortFrom(name.public, number))
		if err == nil {
			return number, nil
		}
		// A port that a local socket holds rests as if it had been used.
		members.rest(name, index, now, &p.resting)
		if !errors.Is(err, unix.EADDRINUSE) {
			return 0, err
		}
	}
	return 0, ErrExhausted
}

// wake makes free what has rested long enough, in every pool.
func (p *Ports) wake(now time.Time) {
	for {
		longest := p.resting.front()
		if longest == nil || now.Sub(longest.since) < portRest {
			return
		}
		p.pools[longest.pool].wake(longest, &p.resting)
		p.drop(longest.pool)
	}
}

// drop forgets a pool of which everything is free.
func (p *Ports) drop(name portPool) {
	if p.pools[name].free() == p.size {
		delete(p.pools, name)
	}
}

// hold binds a socket to a public port or joins the one that is there.
func (p *Ports) hold(public netip.AddrPort) error {
	if held := p.holds[public]; held != nil {
		held.users++
		p.shared++
		return nil
	}
	fd, err := bind(public)
	if err != nil {
		return err
	}
	p.holds[public] = &hold{fd: fd, users: 1}
	return nil
}

func (p *Ports) release(public netip.AddrPort) {
	held := p.holds[public]
	if held.users > 1 {
		held.users--
		p.shared--
		return
	}
	delete(p.holds, public)
	if held.fd >= 0 {
		unix.Close(held.fd)
	}
}

// Stats returns the use of the range.
func (p *Ports) Stats() PortStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wake(time.Now())
	return PortStats{
		Size:    p.size,
		Lent:    p.lent,
		Resting: p.resting.len(),
		Shared:  p.shared,
		Refused: p.refused,
	}
}

// Port is a public port lent to one peer.
type Port struct {
	ports    *Ports
	pool     portPool
	number   uint16
	returned bool // guarded by ports.mu
}

// Number returns the port's number.
func (p *Port) Number() uint16 { return p.number }

// Return gives the port back; it begins to rest. Returning it again has no effect.
func (p *Port) Return() {
	all := p.ports
	all.mu.Lock()
	defer all.mu.Unlock()
	if p.returned {
		return
	}
	p.returned = true
	all.lent--
	all.release(netip.AddrPortFrom(p.pool.public, p.number))
	all.pools[p.pool].rest(p.pool, p.number-all.first, time.Now(), &all.resting)
}
