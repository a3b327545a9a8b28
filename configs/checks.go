package configs

import (
	"fmt"
	"slices"
	"strings"
)

// check compares the values of different keys. A value in which something wrong was found already is left out.
func (c *Config) check(root value) {
	c.checkSides(root.child("interfaces"))
	c.checkPorts(root)
	c.checkVariant(root.child("firewall"))
	c.checkStatus(root.child("status"))
	c.checkAudit(root.child("audit"))
	items := root.child("rules").items()
	if len(items) != len(c.Rules) {
		return // the list itself is wrong
	}
	for i, item := range items {
		c.checkName(items, i)
		if item.sound() {
			c.Rules[i].check(item)
		}
	}
	c.checkOrder(items)
}

// checkSides refuses an interface on both sides.
func (c *Config) checkSides(interfaces value) {
	for _, item := range interfaces.child("wan").items() {
		if name, ok := scalar(item.node); ok && slices.Contains(c.Interfaces.LAN, name) {
			item.fail("on both sides, interfaces.lan and interfaces.wan", "keep it on one")
		}
	}
}

// checkPorts keeps the ports lent to data connections free of other uses.
func (c *Config) checkPorts(root value) {
	if !root.child("data_ports").sound() {
		return
	}
	choose := "choose one outside of " + c.DataPorts.String() + ", or move data_ports"
	if listen := root.child("listen_port"); listen.sound() && c.DataPorts.Contains(c.ListenPort) {
		if !listen.stated() { // then it is data_ports that came to hold the default
			listen = root.child("data_ports")
		}
		listen.fail(fmt.Sprintf("the listen_port %d is among the data ports", c.ListenPort), choose)
	}
	for i, item := range root.child("rules").items() {
		ports := item.child("ports")
		if !ports.sound() || i >= len(c.Rules) {
			continue
		}
		for _, port := range c.Rules[i].Ports {
			if c.DataPorts.Contains(port) {
				ports.fail(fmt.Sprintf("the control port %d is among the data ports: data would be taken for commands", port), choose)
			}
		}
	}
}

// checkVariant refuses a variant of iptables for another backend.
func (c *Config) checkVariant(firewall value) {
	if v := firewall.child("iptables"); v.sound() && firewall.child("backend").sound() &&
		c.Firewall.IPTables != IPTablesAuto && c.Firewall.Backend == BackendNFTables {
		v.fail("a variant of iptables, but firewall.backend is nftables", "remove it, or write backend: iptables")
	}
}

// checkName refuses a rule's name that an earlier rule bears.
func (c *Config) checkName(items []value, i int) {
	name := items[i].child("name")
	if !name.sound() {
		return
	}
	for j := range i {
		if c.Rules[j].Name == c.Rules[i].Name {
			name.fail(fmt.Sprintf("rules[%d] has this name", j), "choose another")
			return
		}
	}
}

// check compares the keys of one rule.
func (r *Rule) check(v value) {
	r.checkServer(v)
	if client := v.child("tls").child("client"); client.stated() && r.TLS.Client == TLSPassthrough && r.Restricted() {
		client.warn("behind TLS the rule's "+strings.Join(r.restrictions(), ", ")+" cannot be enforced: after AUTH the commands are encrypted",
			"write refuse, or accept it")
	}
}

// checkServer checks where the rule leads, and that a connection can match it at all.
func (r *Rule) checkServer(v value) {
	server := v.child("server")
	switch {
	case r.Direction == Outbound && server.stated():
		server.fail("only an inbound rule has a server: outbound the client dials it", "remove it, or write direction: inbound")
		return
	case r.Direction == Inbound && r.Servers.everywhere() && !r.Servers.Any():
		v.child("servers").fail("a whole address family is not what an inbound rule can be dialled by", "write any for every address of this router, or name networks")
		return
	case r.Routed() && r.Servers.Any():
		server.fail("missing",
			"write the server's address and port, or servers: [the networks] if clients dial the server's own address")
		return
	}
	matched := r.Clients.families().and(r.Servers.families())
	for _, endpoint := range r.Server {
		if !matched.has(endpoint.Addr()) {
			server.warn(fmt.Sprintf("%s is never used: clients and servers hold no address of its family", endpoint),
				"remove it, or add networks of its family")
		}
	}
	switch {
	case matched == (families{}):
		v.fail("no connection can match: clients and servers are of different address families", "give both networks of one family")
	case r.families() == (families{}):
		v.fail("no connection can match: the server is of another address family than clients and servers", "give all of them addresses of one family")
	}
}

// families are those of the connections that the rule carries: clients, dialled addresses and server must have them.
func (r *Rule) families() families {
	both := r.Clients.families().and(r.Servers.families())
	if len(r.Server) == 0 {
		return both
	}
	var led families
	for _, endpoint := range r.Server {
		led.add(endpoint.Addr())
	}
	return both.and(led)
}

// checkOrder warns of a rule that is never reached, because an earlier one matches all that it would.
func (c *Config) checkOrder(items []value) {
	for i, item := range items {
		if !item.sound() {
			continue
		}
		for j := range i {
			if items[j].sound() && c.Rules[j].covers(&c.Rules[i]) {
				item.child("name").warn(fmt.Sprintf("never reached: rules[%d] %q matches all that it would", j, c.Rules[j].Name),
					"put it before that rule, or remove it")
				break
			}
		}
	}
}

// covers tells whether r matches every connection that later would.
func (r *Rule) covers(later *Rule) bool {
	if r.Direction != later.Direction || !r.Clients.covers(later.Clients) {
		return false
	}
	for _, port := range later.Ports {
		if !slices.Contains(r.Ports, port) {
			return false
		}
	}
	// What is dialled differs: a routed rule has the servers' own addresses, one with a server has the router's (with
	// "any" all of those and no others).
	if r.Direction == Inbound && r.Routed() != later.Routed() && (r.Routed() || r.Servers.Any()) {
		return false
	}
	theirs := later.families()
	return theirs.and(r.families()) == theirs && r.Servers.covers(later.Servers)
}
