//go:build kernel

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
)

// backendVariable names the packet filter with which the tests of this package
// run, nftables or iptables. All of them must pass with either.
const backendVariable = "FTPGATE_TEST_BACKEND"

// backend is what the daemon under test chooses in a lab if it is not told.
func backend() string {
	if b := os.Getenv(backendVariable); b != "" {
		return b
	}
	return "nftables"
}

// onBackend is a configuration with that backend, if it states none.
func onBackend(config string) string {
	switch {
	case strings.Contains(config, "backend:") || os.Getenv(backendVariable) == "":
		return config
	case strings.Contains(config, "firewall: {"):
		return strings.Replace(config, "firewall: {", "firewall: {backend: "+backend()+", ", 1)
	default:
		return config + "firewall: {backend: " + backend() + "}\n"
	}
}

// gates are the pinholes in the kernel, of both families, one to a line.
func (r *router) gates() string {
	r.t.Helper()
	if backend() == "nftables" {
		return r.elements(func(set string) bool { return strings.HasPrefix(set, "open") })
	}
	return r.chains("GATE")
}

// gateOf is what the line of a pinhole has in it that leads to this port.
func gateOf(port uint16) string { return fmt.Sprintf("--dport %d ", port) }

// remains is all that is in the kernel of any pinhole.
func (r *router) remains() string {
	r.t.Helper()
	if backend() == "nftables" {
		return r.elements(func(string) bool { return true })
	}
	return r.chains("GATE", "DNAT", "SNAT")
}

// chains are the rules in chains of ours in table nat.
func (r *router) chains(names ...string) string {
	r.t.Helper()
	return r.run("sh", "-c", fmt.Sprintf("for c in %[2]s; do iptables-%[1]s -t nat -S FTPGATE-$c; ip6tables-%[1]s -t nat -S FTPGATE-$c; done | grep -e -A; true",
		r.Variant(), strings.Join(names, " ")))
}

// elements are those of our sets and maps.
func (r *router) elements(of func(set string) bool) string {
	r.t.Helper()
	var lines strings.Builder
	for _, family := range []string{"ip", "ip6"} {
		var listing struct {
			NFTables []struct {
				Set, Map *struct {
					Name string
					Elem []json.RawMessage
				}
			}
		}
		if err := json.Unmarshal([]byte(r.run("nft", "-j", "list", "table", family, "ftpgate")), &listing); err != nil {
			r.t.Fatalf("reading nft -j: %v", err)
		}
		for _, object := range listing.NFTables {
			for _, set := range []*struct {
				Name string
				Elem []json.RawMessage
			}{object.Set, object.Map} {
				if set == nil || !of(set.Name) {
					continue
				}
				for _, element := range set.Elem {
					fmt.Fprintf(&lines, "%s%s %s\n", set.Name, destinationPort(element), element)
				}
			}
		}
	}
	return lines.String()
}

// destinationPort is the last part of an element's key as iptables writes it.
func destinationPort(element json.RawMessage) string {
	var set struct {
		Elem struct{ Val struct{ Concat []any } }
	}
	if json.Unmarshal(element, &set) != nil || len(set.Elem.Val.Concat) == 0 {
		return "" // of a map
	}
	key := set.Elem.Val.Concat
	return fmt.Sprintf(" --dport %v", key[len(key)-1])
}

// TestBackends: what the configuration asks for is taken, auto takes nftables
// where it does and iptables where a variant is named; the log says which and
// why. What the other backend left behind is gone.
func TestBackends(t *testing.T) {
	eachVariant(t, lab.Options{}, func(t *testing.T, r *router) {
		server := r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{})
		before := r.state()
		for _, c := range []struct{ config, backend, why string }{
			{"{backend: auto}", `"nftables"`, "the kernel takes all that its rules need"},
			{"{backend: iptables}", `"iptables (`, "the configuration says so"},
			{"{backend: nftables}", `"nftables"`, "the configuration says so"},
			{fmt.Sprintf("{backend: auto, iptables: %s}", r.Variant()), `"iptables (`, "the configuration names a variant of iptables"},
		} {
			t.Run(c.config, func(t *testing.T) {
				r := r.in(t)
				r.start(plain + "firewall: " + c.config + "\n")
				r.await(`"backend":` + c.backend)
				r.await(c.why)
				client := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
				roundTrip(t, client, dialogue.PASV, server)
				if _, err := client.Want(227, "PASV"); err != nil { // stays open, unused
					t.Fatal(err)
				}
				r.daemon.Kill() // the next one cleans up
			})
		}
		for _, last := range []string{"nftables", "iptables"} {
			r.start(plain + "firewall: {backend: " + last + "}\n")
			r.stop()
			if after := r.state(); after != before {
				t.Errorf("after backend %s traces are left:\n%s", last, difference(before, after))
			}
		}
	})
}

// TestOwnedTable: where a table that drops can be written by its owner alone,
// auto takes iptables, and says what will not pass.
func TestOwnedTable(t *testing.T) {
	r := newRouter(t, lab.Options{})
	owner, err := r.Host(lab.Router).Start("sh", "-c",
		"(echo 'table inet firewalld { flags owner; chain forward { type filter hook forward priority 10; drop; }; }'; sleep 600) | nft -i")
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Kill()
	eventually(t, "the owned table", func() bool { return strings.Contains(r.run("nft", "list", "ruleset"), "firewalld") })
	r.start(plain + "firewall: {backend: auto}\n")
	r.await(`"backend":"iptables (`)
	r.await("owned by another program")
	r.stop()
	r.write(plain + "firewall: {backend: nftables}\n")
	out, err := r.Host(lab.Router).Run(t.Context(), gatewayBinary, "run", "--config", r.config)
	if err == nil || !strings.Contains(out, "chain forward of table inet firewalld") {
		t.Errorf("nftables was not refused: %v\n%s", err, out)
	}
}

// TestWithoutPrograms: nftables needs no program, not even on a host whose
// rules were made by iptables-nft.
func TestWithoutPrograms(t *testing.T) {
	r := newRouter(t, lab.Options{})
	server := r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{Passive: passiveRange})
	before := r.state()
	r.env = []string{"PATH=/nonexistent"}
	r.start(plain + "firewall: {backend: auto}\n")
	r.await(`"backend":"nftables"`)
	c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
	for _, mode := range dialogue.Modes(false) {
		roundTrip(t, c, mode, server)
	}
	r.stop()
	if after := r.state(); after != before {
		t.Errorf("traces are left:\n%s", difference(before, after))
	}
}
