package firewall

import "errors"

// Errors of [Manager.Open]. All of them leave nothing behind.
var (
	ErrNotStarted = errors.New("the firewall has not been started")
	ErrStopped    = errors.New("the firewall has been stopped")
	ErrTooMany    = errors.New("too many pinholes")
	ErrConflict   = errors.New("another pinhole leads the same connection elsewhere")
)

// ErrUnavailable is wrapped by a Backend's error that would meet every pinhole alike (the lock of the packet filter is
// held too long, a program is missing): the Manager then does not look for a pinhole to blame.
var ErrUnavailable = errors.New("the packet filter is not available")

// ErrChanged is what Apply says when the host's rules may have changed since the Backend last saw its own in place.
var ErrChanged = errors.New("another program has changed the host's rules")

// Counter is a Backend that counts. It is called like a Backend.
type Counter interface {
	// Seen returns how many packets the gates of open holes have matched, by the number of the hole, whether or not they
	// were admitted or got any further. A hole that is not there any more is missing.
	Seen(holes ...Hole) (packets map[uint64]uint64, err error)
}

// Guard is a Backend that closes the WAN for a Gateway where the host does not. It is called like a Backend.
type Guard interface {
	// Guards names the interfaces, with their family, that it closes: "IPv6 eth1".
	Guards() []string
}

// Found is what a look at the host's rules has found and put right, in words.
type Found struct {
	Repaired []string // of ours: missing, doubled, changed or foreign
	Followed []string // of the host's own, which ours fit now: another chain may drop, say
}

// Any tells whether there is anything.
func (f Found) Any() bool { return len(f.Repaired)+len(f.Followed) > 0 }

// Add takes over what was found in a part, which is named before it.
func (f *Found) Add(part string, of Found) {
	for _, what := range of.Repaired {
		f.Repaired = append(f.Repaired, part+what)
	}
	for _, what := range of.Followed {
		f.Followed = append(f.Followed, part+what)
	}
}

// Backend puts a Frame and holes into the kernel. It is called by one goroutine at a time, but not always the same. Every call is bounded in time
// by the backend itself.
type Backend interface {
	// Name says what it is, for logs: "iptables (nf_tables)".
	Name() string
	// Install removes leftovers of earlier runs and puts the static part in place, so that connections which nobody
	// but us cares about never see it half done. Called again with another Frame it replaces the static part; holes that
	// are open stay open. After an error Remove is called or another Install.
	Install(Frame) error
	// Apply adds and removes holes in one transaction per address family. After an error nothing of open is in place,
	// and of shut any part. A hole in shut that is not there any more is no error, also when the rules it hung on are gone.
	// ErrChanged: nothing was done, since what is opened might not pass, before Verify has put our rules right. Shutting
	// alone never meets it.
	Apply(open, shut []Hole) error
	// Verify compares what the host has with what should be there, the frame and exactly these holes, and puts it right.
	// A hole whose rules are written anew admits one connection more; so one that is over must not be among them.
	Verify(holes []Hole) (Found, error)
	// Remove takes everything of ours away, and nothing else. It may be called twice and without Install.
	Remove() error
}
