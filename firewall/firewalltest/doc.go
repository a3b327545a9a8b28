// Package firewalltest is the contract of firewall.Backend as tests against the real kernel: a client, a router and a
// server in network namespaces of their own, with real connections. Each backend's tests call Run. It needs root and is
// built with the tag kernel only.
package firewalltest
