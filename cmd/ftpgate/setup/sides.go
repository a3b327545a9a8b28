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

// Guess tells LAN from WAN: the default route leaves by the WAN, the LAN has
// private addresses. What cannot be told is an error that shows what there
// is and how to say it.
func Guess(host []Interface) (Sides, error) {
	var s Sides
	for _, i := range host {
		switch {
		case !i.Up || others.MatchString(i.Name):
		case i.DefaultRoute:
			s.WAN = append(s.WAN, i.Name)
		case i.Private():
			s.LAN = append(s.LAN, i.Name)
		}
	}
	switch {
	case len(s.WAN) == 0:
		return s, fmt.Errorf("no default route leaves by any interface, so the WAN side cannot be told: name both sides with --lan and --wan%s", listed(host))
	case len(s.LAN) == 0:
		return s, fmt.Errorf("no interface beside that of the default route (%s) is up with a private address, so the LAN side cannot be told: name it with --lan%s",
			strings.Join(s.WAN, ", "), listed(host))
	}
	return s, nil
}

// Complete fills in from a guess what the administrator has not said, and
// refuses what the host does not have.
func Complete(said Sides, host []Interface) (Sides, error) {
	for _, name := range slices.Concat(said.LAN, said.WAN) {
		if !slices.ContainsFunc(host, func(i Interface) bool { return i.Name == name }) {
			return said, fmt.Errorf("there is no interface %s%s", name, listed(host))
		}
	}
	if len(said.LAN) > 0 && len(said.WAN) > 0 {
		return said, said.check()
	}
	rest := slices.DeleteFunc(slices.Clone(host), func(i Interface) bool { return slices.Contains(said.LAN, i.Name) || slices.Contains(said.WAN, i.Name) })
	guess, err := Guess(rest)
	if len(said.LAN) == 0 && len(guess.LAN) > 0 {
		said.LAN = guess.LAN
	}
	if len(said.WAN) == 0 && len(guess.WAN) > 0 {
		said.WAN = guess.WAN
	}
	if len(said.LAN) == 0 || len(said.WAN) == 0 {
		return said, err
	}
	return said, said.check()
}

func (s Sides) check() error {
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
		b.WriteString("\n  " + i.Name + " (" + state + ") " + strings.Trim(fmt.Sprint(i.Addresses), "[]"))
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
