// Package nat holds what a translating router needs besides its rules: the public
// ports lent to data connections, transparent sockets together with the ip rules and
// routes that bring their packets in, facts about the host, and the life of each
// connection as conntrack tells it.
//
// It knows neither the protocol that the connections carry nor the rules that admit
// them. Marks are given by the caller, who gives the same ones to the firewall.
package nat
