package doctor

import (
	"slices"
	"strings"

	"github.com/ftpgate/ftpgate/firewall/iptables"
)

// priorities of the tables of iptables (netfilter_ipv4.h).
var priorities = map[string]int{"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}

// addIPTables takes the tables that iptables shows.
func (s *Ruleset) addIPTables(tables []iptables.HostTable) {
	for _, h := range tables {
		t := &table{program: h.Program, name: h.Name, family: "ip6", chains: map[string]*chain{}}
		if h.IPv4 {
			t.family = "ip"
		}
		for _, c := range h.Chains {
			own := &chain{table: t, name: c.Name, drops: c.Policy == "DROP"}
			if c.Policy != "-" {
				own.hook, own.kind, own.priority = strings.ToLower(c.Name), "filter", priorities[h.Name]
				if h.Name == "nat" {
					own.kind = "nat"
				}
			}
			t.chains[c.Name] = own
			t.order = append(t.order, own)
		}
		for _, c := range h.Chains {
			own := t.chains[c.Name]
			for _, text := range c.Rules {
				own.rules = append(own.rules, readIPTables(own, text))
			}
		}
		s.tables = append(s.tables, t)
	}
}

// specification is a rule of iptables while its words are read.
type specification struct {
	*rule
	words  []string
	module string // the last -m
	negate bool
}

func readIPTables(c *chain, text string) *rule {
	s := &specification{rule: &rule{chain: c, text: text, ours: iptables.Ours(c.name, text)}, words: iptables.Words(text)}
	for len(s.words) > 0 {
		word := s.next()
		switch word {
		case "!":
			s.negate = true
			continue
		case "-j", "-g":
			s.aim(s.next(), word == "-g")
			return s.rule
		case "-m":
			s.module = s.next()
			switch s.module {
			case "socket":
				s.require(always(unsure))
			case "rpfilter":
				s.reversePath()
			}
		default:
			s.match(word)
		}
		s.negate = false
	}
	return s.rule
}

// reversePath reads the options of rpfilter. With --invert it matches packets of whose source nobody would expect them by that
// interface.
func (s *specification) reversePath() {
	t := unsure
	for len(s.words) > 0 && slices.Contains([]string{"--loose", "--validmark", "--accept-local", "--invert"}, s.words[0]) {
		if s.next() == "--invert" {
			t = some
		}
	}
	s.require(always(t))
}

func (s *specification) next() string {
	if len(s.words) == 0 {
		return ""
	}
	word := s.words[0]
	s.words = s.words[1:]
	return word
}

// arguments takes the words up to the next option.
func (s *specification) arguments() (args []string) {
	for len(s.words) > 0 && s.words[0] != "!" && !strings.HasPrefix(s.words[0], "-") {
		args = append(args, s.next())
	}
	return args
}

func (s *specification) require(c condition) {
	if s.negate {
		c = not(c)
	}
	s.when = append(s.when, c)
}

// match reads one option that demands something of the packet. What is not known is doubtful.
func (s *specification) match(option string) {
	if option == "--comment" { // may begin with a dash
		s.next()
		return
	}
	args := s.arguments()
	if len(args) == 0 {
		s.require(always(unknownOption(option)))
		return
	}
	value := args[0]
	list := strings.Split(value, ",")
	switch option {
	case "-i":
		s.require(byName(arriving, value, "+"))
	case "-o":
		s.require(byName(leaving, value, "+"))
	case "-p":
		s.require(always(either(value == "tcp" || value == "6" || value == "all")))
	case "-s", "-d":
		of := source
		if option == "-d" {
			of = destination
		}
		s.require(network(of, value))
	case "--sport", "--sports", "--source-ports":
		s.require(portList(list, from))
	case "--dport", "--dports", "--destination-ports":
		s.require(portList(list, to))
	case "--ports":
		s.require(portList(list, from, to))
	case "--ctstate", "--state":
		s.require(byState(strings.Split(strings.ToLower(value), ",")))
	case "--mark":
		of := packetMark
		if s.module == "connmark" {
			of = connectionMark
		}
		if v, m, ok := markOf(value); ok {
			s.require(byMark(of, v, m))
		} else {
			s.require(always(unsure))
		}
	case "--tcp-flags":
		if len(args) == 2 {
			s.require(byFlags(strings.Split(strings.ToLower(value), ","), strings.Split(strings.ToLower(args[1]), ",")))
		}
	case "--dst-type":
		if value == "LOCAL" {
			s.require(byLocal)
		} else {
			s.require(always(otherType(value)))
		}
	case "--match-set", "--src-range", "--dst-range", "--mac-source", "--source-country", "--src-cc":
		s.require(always(some))
	case "--limit-burst", "--hashlimit-burst":
	case "--rt-type": // a routing header of IPv6, which TCP of today has not
		s.require(always(no))
	default:
		s.require(always(unsure))
	}
}

// unknownOption is a match without a value.
func unknownOption(option string) truth {
	if option == "--physdev-is-bridged" || option == "-f" {
		return no // ours are routed, and not in fragments
	}
	return unsure
}

// otherType is an address type that a destination of ours has not.
func otherType(value string) truth {
	if slices.Contains([]string{"BROADCAST", "MULTICAST", "ANYCAST", "BLACKHOLE"}, value) {
		return no
	}
	return unsure
}

// aim reads the target and its options.
func (s *specification) aim(target string, leap bool) {
	options := map[string]string{}
	for len(s.words) > 0 {
		name := s.next()
		options[name] = strings.Join(s.arguments(), " ")
	}
	switch target {
	case "ACCEPT", "TPROXY", "DNAT", "SNAT", "REDIRECT", "MASQUERADE", "NETMAP":
		s.verdict = accepts
	case "DROP", "REJECT", "TARPIT", "STEAL", "DELUDE":
		s.verdict = drops
	case "RETURN":
		s.verdict = returns
	case "QUEUE", "NFQUEUE", "SYNPROXY":
		s.verdict = mayDrop
	case "MARK", "CONNMARK", "CT", "NOTRACK":
		s.change(target, options)
	default:
		s.verdict, s.target = jumps, target
		if leap {
			s.verdict = leaps
		}
	}
}

// change reads the targets that concern marks and conntrack.
func (s *specification) change(target string, options map[string]string) {
	effect := func(kinds ...effectKind) {
		for _, k := range kinds {
			s.effects = append(s.effects, effectOf(k, len(s.when)))
		}
	}
	_, untracked := options["--notrack"]
	value, mask, sets := markOf(options["--set-xmark"])
	touches := sets && (value|mask)&topByte != 0
	_, restores := options["--restore-mark"]
	_, saves := options["--save-mark"]
	switch {
	case target == "NOTRACK" || untracked:
		effect(untracks)
	case target == "CT" && options["--helper"] == "ftp":
		effect(assignsHelper)
	case target == "MARK" && touches:
		effect(overwritesMark)
	case target == "CONNMARK" && touches:
		effect(overwritesCTMark)
	case restores && wide(options["--nfmask"]):
		effect(overwritesMark)
		if wide(options["--ctmask"]) {
			effect(restoresMark)
		}
	case saves && wide(options["--ctmask"]):
		effect(overwritesCTMark)
	}
}

// wide tells whether a mask has our byte in it; none has.
func wide(mask string) bool {
	v, _, ok := markOf(mask)
	return !ok || v&topByte != 0
}
