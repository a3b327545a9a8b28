package setup

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Sides are the interfaces of a router.
type Sides struct{ LAN, WAN []string }

// others are made by programs for guests of this host; a LAN is none of them,
// unless the administrator says so.
var others = regexp.MustCompile(`^(docker|br-[0-9a-f]{12}$|virbr|veth|cni|flannel|cali|kube|lxcbr|lxdbr|podman|vnet|tap|ifb|dummy|nodelocaldns)`)

// Side is one of the two, by the name of its flag.
type Side string

// The sides.
const (
	LAN Side = "lan"
	WAN Side = "wan"
)

// Unclear is a side that the host does not show: no interface looks like it, or
// several do. Which one is meant is not guessed.
type Unclear struct {
	Side   Side
	Why    string
	Listed string // what there is to choose from, a line each
}

func (u *Unclear) Error() string {
	return fmt.Sprintf("%s, so the %s side cannot be told: name it with --%s, once for each interface%s", u.Why, strings.ToUpper(string(u.Side)), u.Side, u.Listed)
}

// Answer adds the names that somebody has given for the side.
func (u *Unclear) Answer(said Sides, text string, host []Interface) (Sides, error) {
	names := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	if len(names) == 0 {
		return said, fmt.Errorf("the %s side needs an interface", strings.ToUpper(string(u.Side)))
	}
	answered := said
	if u.Side == LAN {
		answered.LAN = names
	} else {
		answered.WAN = names
	}
	if err := answered.check(host); err != nil {
		return said, err
	}
	return answered, nil
}

// Complete fills in what the administrator has not said: the default route
// leaves by the WAN, the LAN is the other interface that is up with a private
// address. It refuses what the host does not have; what cannot be told is an
// error of type *Unclear.
func Complete(said Sides, host []Interface) (Sides, error) {
	if err := said.check(host); err != nil {
		return said, err
	}
	var leaving, private []string
	for _, i := range host {
		switch {
		case !i.Up || others.MatchString(i.Name) || slices.Contains(said.LAN, i.Name) || slices.Contains(said.WAN, i.Name):
		case i.DefaultRoute:
			leaving = append(leaving, i.Name)
		case i.Private():
			private = append(private, i.Name)
		}
	}
	unclear := func(side Side, format string, args ...any) (Sides, error) {
		return said, &Unclear{side, fmt.Sprintf(format, args...), listed(host)}
	}
	if len(said.WAN) == 0 {
		switch len(leaving) {
		case 0:
			return unclear(WAN, "no default route leaves by any interface")
		case 1:
			said.WAN = leaving
		default:
			return unclear(WAN, "default routes leave by %s", strings.Join(leaving, " and "))
		}
	}
	if len(said.LAN) == 0 {
		switch len(private) {
		case 0:
			return unclear(LAN, "no interface beside that of the default route (%s) is up with a private address", strings.Join(said.WAN, ", "))
		case 1:
			said.LAN = private
		default:
			return unclear(LAN, "%s are up with private addresses", strings.Join(private, " and "))
		}
	}
	return said, nil
}

func (s Sides) check(host []Interface) error {
	for _, name := range slices.Concat(s.LAN, s.WAN) {
		if !slices.ContainsFunc(host, func(i Interface) bool { return i.Name == name }) {
			return fmt.Errorf("there is no interface %s%s", name, listed(host))
		}
	}
	for _, name := range s.LAN {
		if slices.Contains(s.WAN, name) {
			return errors.New(name + " cannot be on both sides")
		}
	}
	return nil
}

// listed is what there is to choose from.
func listed(host []Interface) string {
	var b strings.Builder
	for _, i := range host {
		state := "down"
		if i.Up {
			state = "up"
		}
		if i.DefaultRoute {
			state += ", default route"
		}
		b.WriteString("\n  " + strings.TrimSpace(i.Name+" ("+state+") "+strings.Trim(fmt.Sprint(i.Addresses), "[]")))
	}
	return b.String()
}

// PublicNote warns of a router that is behind another one: its WAN has a private
// address of IPv4. "": it has not.
func PublicNote(s Sides, host []Interface) string {
	for _, i := range host {
		if !slices.Contains(s.WAN, i.Name) {
			continue
		}
		for _, p := range i.Addresses {
			if a := p.Addr(); a.Is4() && private(a) {
				return fmt.Sprintf("%s has the private address %s, so another router translates once more: for clients outside it has to pass the control port "+
					"and data_ports on to this host, and advertise has to name its public address", i.Name, a)
			}
		}
	}
	return ""
}
