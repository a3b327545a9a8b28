package nftables

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/firewall"
)

// ErrKernel is wrapped when the kernel lacks nf_tables or something in it that our rules need.
var ErrKernel = errors.New("the kernel lacks what our rules need")

// Probe tells whether the backend can work here with the frame, without changing anything: it lets the kernel check
// everything that Install would write, and a pinhole. Its errors, each a reason to take another backend, are ErrKernel,
// ErrOwned and iptables.ErrNoProgram.
func Probe(f firewall.Frame) error {
	if err := f.Validate(); err != nil {
		return err
	}
	b, err := New()
	if err != nil {
		return err
	}
	if err := b.filter.Reachable(); err != nil {
		return err
	}
	if err := b.connect(); err != nil {
		if errors.Is(err, unix.EPROTONOSUPPORT) {
			return fmt.Errorf("%w: no netlink interface to the packet filter (module nfnetlink): %w", ErrKernel, err)
		}
		return err
	}
	defer b.on.close()
	if _, err := b.on.generation(); err != nil {
		return fmt.Errorf("%w: nf_tables (module nf_tables): %w", ErrKernel, err)
	}
	l, _, err := b.look(f)
	if err != nil {
		return err
	}
	t := newBatch()
	for i, wanted := range []bool{f.IPv4, f.IPv6} {
		if !wanted {
			continue
		}
		fam := b.families[i]
		if _, _, err := fam.plan([]firewall.Hole{sample(fam.four, 0), sample(fam.four, 20)}, nil); err != nil {
			return err
		}
		if err := fam.install(t, l, f, true, b.on); err != nil {
			return err
		}
	}
	if err := b.on.rehearse(t); err != nil {
		return diagnose(f, err)
	}
	return nil
}

// sample is a pinhole that uses everything.
func sample(four bool, from uint16) firewall.Hole {
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	if four {
		a, b = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	}
	return firewall.Hole{ID: uint64(from), Expires: time.Now().Add(time.Minute), Pinhole: firewall.Pinhole{
		Interface: "lo", Source: a, SourcePort: from, Destination: netip.AddrPortFrom(b, 1024),
		Target: netip.AddrPortFrom(a, 1024), SourceAs: b, Mark: 1,
	}}
}

// feature is something that kernels are built without, in the smallest rule that uses it.
type feature struct {
	name, module string
	hook         hook
	rule         rule
}

func (w words) features() []feature {
	filter := hook{nftables.ChainTypeFilter, hookPrerouting, priorityControl}
	dnat := hook{nftables.ChainTypeNAT, hookPrerouting, priorityData}
	snat := hook{nftables.ChainTypeNAT, hookPostrouting, priorityLeaving}
	return []feature{
		{"connection marks", "nft_ct", filter, newRule("", connMark().set(1, 1))},
		{"the match socket", "nft_socket", filter, newRule("", isTCP(), socketIs(expr.SocketKeyTransparent))},
		{"the match socket wildcard", "nft_socket of Linux 5.11", filter, newRule("", isTCP(), socketIs(expr.SocketKeyWildcard))},
		{"the match fib", "nft_fib_" + strings.ToLower(w.String()), filter, newRule("", toLocal(expr.CmpOpEq))},
		{"tproxy", "nft_tproxy", filter, newRule("", isTCP(), w.tproxy(1))},
		{"limit", "nft_limit", filter, newRule("", []expr.Any{&expr.Limit{Type: expr.LimitTypePkts, Rate: 1, Unit: expr.LimitTimeDay, Burst: 1}})},
		{"log to a group", "nft_log, nfnetlink_log", filter, newRule("", logTo(1))},
		{"dnat", "nft_nat, nft_chain_nat", dnat, newRule("", isTCP(), load(w.destination(), destinationPort()), []expr.Any{w.dnat()})},
		{"snat", "nft_nat, nft_chain_nat", snat, newRule("", load(w.source()), []expr.Any{w.snat()})},
		{"the size of segments", "nft_rt, nft_exthdr of Linux 4.14", hook{nftables.ChainTypeFilter, hookForward, prioritySegments}, newRule("", isTCP(), clamp())},
		{"masquerade", "nft_masq, nft_chain_nat", snat, newRule("", []expr.Any{&expr.Masq{}})},
	}
}

// diagnose finds out whether err comes from something that the kernel lacks, and says what. It changes nothing.
func diagnose(f firewall.Frame, err error) error {
	if errors.Is(err, firewall.ErrUnavailable) || errors.Is(err, unix.EPERM) {
		return err
	}
	on, dialled := dial()
	if dialled != nil {
		return errors.Join(err, dialled)
	}
	defer on.close()
	var lacks []string
	for i, wanted := range []bool{f.IPv4, f.IPv6} {
		if w := (words{four: i == 0}); wanted {
			lacks = append(lacks, w.lacking(on, w.features())...)
		}
	}
	if len(lacks) == 0 {
		return err
	}
	return fmt.Errorf("%w: %s: %w", ErrKernel, strings.Join(lacks, ", "), err)
}

// lacking tries single features and names those that the kernel does not take.
func (w words) lacking(on *wire, features []feature) (names []string) {
	for _, x := range features {
		if x.try(on, w.family()) != nil {
			names = append(names, fmt.Sprintf("%s for %s (module %s)", x.name, w, x.module))
		}
	}
	return names
}

func (x feature) try(on *wire, fam byte) error {
	const probe = "ftpgate-probe"
	t := newBatch()
	t.message(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, fam, "making a table")
	t.text(unix.NFTA_TABLE_NAME, probe)
	t.u32(unix.NFTA_TABLE_FLAGS, 0)
	chain{name: probe, hook: &x.hook}.create(t, fam, probe)
	x.rule.add(t, place{family: fam, table: probe, chain: probe})
	return on.rehearse(t)
}
