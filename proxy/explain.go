package proxy

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/proxy/ftp"
	"github.com/ftpgate/ftpgate/proxy/policy"
)

// Witness tells what the host has seen of a data connection that did not come.
type Witness interface {
	// Seen returns how many packets the gates of pinholes have matched, by the
	// number of the hole; those are missing that the kernel does not count, or
	// no more.
	Seen(holes ...firewall.Hole) map[uint64]uint64
	// Refused returns the beginnings of connections to lent ports, since a
	// moment, that no pinhole has admitted.
	Refused(since time.Time) []RefusedPacket
	// Helper names the conntrack helper that works on a connection; "": none.
	Helper(source, destination netip.AddrPort) string
	// Unforwarded says why this host would not forward what a pinhole admits;
	// "": it would.
	Unforwarded(h firewall.Hole) string
}

// RefusedPacket is the beginning of a connection to a lent port that no pinhole has
// admitted.
type RefusedPacket struct {
	At                  time.Time
	Interface           string
	Source, Destination netip.AddrPort
}

func (r RefusedPacket) String() string {
	return fmt.Sprintf("SYN from %s to %s by %s at %s", r.Source, r.Destination, r.Interface, r.At.Format("15:04:05.000"))
}

// facts are what is known of a data connection when it is to be explained.
type facts struct {
	hole      firewall.Hole
	announced netip.AddrPort // what the connector was told
	passive   bool
	opened    time.Time
	waited    time.Duration
	expired   bool
	came      bool      // conntrack has told of it
	silent    time.Time // when its SYN came, if nobody has answered it; zero: somebody has
	code      int       // of the last reply; 0: none
	reply     string    // as sent, with the code
	seen      uint64    // packets that the gate has matched
	counted   bool      // seen is known
	refused   []RefusedPacket
	helper    string // on either control connection
	blocked   string // why the host would not forward
}

// connector is who should have connected.
func (f facts) connector() string {
	if f.passive {
		return "client"
	}
	return "server"
}

// expected is the evidence of what should have come.
func (f facts) expected() string {
	text := fmt.Sprintf("expected: SYN from %s to %s by %s, from %s on", f.hole.Source, f.hole.Destination, f.hole.Interface, f.opened.Format("15:04:05.000"))
	if f.announced != f.hole.Destination {
		text += fmt.Sprintf("; announced as %s", f.announced)
	}
	return text
}

// explain finds the cause of a data connection that did not carry what it was
// meant for. What was seen on the wire comes before what was said.
func explain(f facts) Diagnosis {
	// A refusal of the file has nothing to do with the data connection.
	refused := f.code >= 500 || f.code == 450 || f.code == 451 || f.code == 452
	switch {
	case f.came && !f.silent.IsZero() && !refused:
		return f.bySilence()
	case f.came:
		return f.byServer()
	}
	for _, look := range looks {
		if d, found := look(f); found {
			return d
		}
	}
	if refused {
		return f.byServer()
	}
	return f.byNothing()
}

// soFar is what is known of a data connection that is still waited for. As long
// as nothing has come there is no cause.
func (f facts) soFar() Diagnosis {
	for _, look := range looks {
		if d, found := look(f); found {
			return d
		}
	}
	return Diagnosis{Evidence: f.evidence(), Sentence: fmt.Sprintf("No SYN has come so far: the %s's, from %s to %s by %s, has been awaited for %s.",
		f.connector(), f.hole.Source, f.hole.Destination, f.hole.Interface, brief(f.waited))}
}

// looks are for what was seen on this host, the one that explains the others
// first.
var looks = []func(facts) (Diagnosis, bool){facts.byHelper, facts.byPacket, facts.byDrop}

// byServer is for a connection that came, or that the server did not want.
func (f facts) byServer() Diagnosis {
	if f.code == 0 {
		return Diagnosis{Cause: CauseLeft, Sentence: "The control connection ended before the server had said how the transfer went.", Evidence: f.evidence()}
	}
	return Diagnosis{Cause: CauseServer, Sentence: fmt.Sprintf("The server answered %q.", f.reply), Evidence: f.evidence()}
}

func (f facts) byHelper() (Diagnosis, bool) {
	if f.helper == "" {
		return Diagnosis{}, false
	}
	return Diagnosis{
		Cause: CauseKernelHelper,
		Sentence: fmt.Sprintf("The kernel's own helper (%s) works on the same control connection and rewrites it too: take its assignment away "+
			"(iptables -t raw -S and nft list ruleset show it).", f.helper),
		Evidence: f.evidence(),
	}, true
}

// byPacket is for what came to a lent port and was not admitted. The first packet
// gives the cause; how many there were, and which was the last, is evidence.
func (f facts) byPacket() (d Diagnosis, found bool) {
	var first, last RefusedPacket
	count := 0
	for _, r := range f.refused {
		why, misfit := f.misfit(r)
		if !misfit {
			continue
		}
		if count++; count == 1 {
			first, d = r, why
		}
		last = r
	}
	if count == 0 {
		return Diagnosis{}, false
	}
	seen := fmt.Sprintf("refused: %s, at hook prerouting", first)
	if count > 1 {
		seen += fmt.Sprintf("; %d of them in all, the last a %s", count, last)
	}
	d.Evidence = append(f.evidence(), seen)
	return d, true
}

// misfit says why a packet is none that the pinhole admits, if it was meant for
// it.
func (f facts) misfit(r RefusedPacket) (d Diagnosis, meant bool) {
	who := f.connector()
	same := r.Destination == f.hole.Destination
	switch {
	case same && r.Source.Addr() != f.hole.Source:
		d = Diagnosis{Cause: CauseElsewhere, Sentence: fmt.Sprintf(
			"A connection for this pinhole came from %s, but the %s's control connection comes from %s: another address is not admitted.",
			r.Source.Addr(), who, f.hole.Source)}
	case same && r.Interface != f.hole.Interface:
		d = Diagnosis{Cause: CauseElsewhere, Sentence: fmt.Sprintf(
			"The %s's connection came by interface %s, but the way to %s is by %s: another interface is not admitted.",
			who, r.Interface, f.hole.Source, f.hole.Interface)}
	case same && !r.At.Before(f.hole.Expires):
		d = Diagnosis{Cause: CauseLate, Sentence: fmt.Sprintf(
			"The %s connected %s after its pinhole had expired (firewall.pinhole_timeout).", who, brief(r.At.Sub(f.hole.Expires)))}
	case same && f.hole.SourcePort != 0 && r.Source.Port() != f.hole.SourcePort:
		d = Diagnosis{Cause: CauseElsewhere, Sentence: fmt.Sprintf(
			"The %s connected from port %d, but this rule admits port %d alone (data.active_source_port_20).", who, r.Source.Port(), f.hole.SourcePort)}
	case r.Source.Addr() == f.hole.Source && r.Destination.Addr() == f.hole.Destination.Addr() && !same:
		d = Diagnosis{Cause: CauseRewritten, Sentence: fmt.Sprintf(
			"Another device on the way rewrites too: port %d was announced, and the %s connected to %d.",
			f.announced.Port(), who, r.Destination.Port())}
	default:
		return Diagnosis{}, false
	}
	return d, true
}

// byDrop is for what came through the gate and got no further.
func (f facts) byDrop() (Diagnosis, bool) {
	if !f.counted || f.seen == 0 {
		return Diagnosis{}, false
	}
	d := Diagnosis{Cause: CauseDropped, Evidence: append(f.evidence(), fmt.Sprintf("admitted at hook prerouting: %d packets; seen to leave: none", f.seen))}
	if f.blocked != "" {
		d.Sentence = fmt.Sprintf("The %s's SYN came through the pinhole and was not forwarded: %s.", f.connector(), f.blocked)
	} else {
		d.Sentence = fmt.Sprintf("The %s's SYN came through the pinhole and was dropped on this host, at hook forward or postrouting, by a rule that is not ftpgate's: ftpgate doctor names it.", f.connector())
	}
	return d, true
}

// bySilence is for what was admitted and led on, and never answered.
func (f facts) bySilence() Diagnosis {
	who := map[bool]string{true: "server", false: "client"}[f.passive]
	onward := f.hole.Onward()
	return Diagnosis{
		Cause: CauseUnanswered,
		Sentence: fmt.Sprintf("The %s's SYN came through the pinhole and was led to the %s, to %s, which did not answer: a firewall of the %s, or one between this router and it, drops it.",
			f.connector(), who, onward, who),
		Evidence: append(f.evidence(), fmt.Sprintf("admitted at hook prerouting: SYN at %s, led to %s; answers until %s: none",
			f.silent.Format("15:04:05.000"), onward, f.opened.Add(f.waited).Format("15:04:05.000"))),
	}
}

// byNothing is for what never came.
func (f facts) byNothing() Diagnosis {
	sentence := fmt.Sprintf("The %s never connected: a SYN from %s to %s was awaited by %s for %s, and none came.",
		f.connector(), f.hole.Source, f.hole.Destination, f.hole.Interface, brief(f.waited))
	switch {
	case f.passive:
		sentence += " Something between the client and this router keeps it, or the client did not understand the address."
	default:
		sentence += " Something between the server and this router keeps it, or the server cannot make connections."
	}
	return Diagnosis{Cause: CauseNoConnection, Sentence: sentence, Evidence: f.evidence()}
}

func (f facts) evidence() []string {
	var evidence []string
	if f.hole.Source.IsValid() {
		evidence = append(evidence, f.expected())
	}
	if f.expired {
		evidence = append(evidence, "the pinhole expired unused after "+brief(f.waited))
	}
	if f.counted && f.seen == 0 {
		evidence = append(evidence, "packets at the pinhole: 0")
	}
	if f.reply != "" {
		evidence = append(evidence, fmt.Sprintf("last reply: %q", f.reply))
	}
	return evidence
}

func brief(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// explainRefusal is for what the gateway itself has refused.
func explainRefusal(r *policy.Refusal) Diagnosis {
	d := Diagnosis{Cause: CausePolicy, Sentence: "ftpgate refused it: " + r.Why + ".", Evidence: []string{fmt.Sprintf("answered %d %s", r.Code, r.Say)}}
	switch r.Reason {
	case policy.ForeignData:
		d.Cause = CauseForeign
		d.Sentence = "The client announced an address that is not its own: " + r.Why +
			". A client behind a translation of its own does so; data.foreign_address: substitute takes the address that it comes from."
	case policy.Exhausted:
		d.Cause = CauseExhausted
		d.Sentence = "No public port of data_ports was free for this peer: enlarge the range, or look at who holds so many."
	case policy.NoPinhole, policy.Internal:
		d.Cause = CauseFirewall
		d.Sentence = "The pinhole could not be opened: " + r.Why + "."
	case policy.BadReply:
		d.Cause = CauseUnusableReply
		d.Sentence = "The server's answer does not say where it listens: " + r.Why + "."
	case policy.Syntax:
		d.Cause = CauseSyntax
		d.Sentence = "The client's command cannot be read: " + r.Why + "."
	case policy.NotNegotiated:
		d.Cause = CauseNotNegotiated
		d.Sentence = "The client asked for a transfer without PORT or PASV before it."
	case policy.Expired:
		d.Cause = CauseNoConnection
		d.Sentence = "The client asked for the transfer after its pinhole had expired unused (firewall.pinhole_timeout)."
	}
	return d
}

// explainTLS is for a control connection that cannot be read any more.
func explainTLS(reply string) Diagnosis {
	return Diagnosis{Cause: CauseTLS, Evidence: []string{fmt.Sprintf("the server answered %q to AUTH", reply)}, Sentence: "The control connection turned to TLS and cannot be read: no data connection can be opened for it. " +
		"With tls.client: refuse the client is told to stay in clear text."}
}

// replyText is a reply as the account has it.
func replyText(r *ftp.Reply) string { return fmt.Sprintf("%d %s", r.Code, r.Text()) }
