// Package guests holds what other programs do to the rules of a router, for tests that cannot run them: Docker and libvirt
// want more of a machine than a container has, and ufw and firewalld want a Debian of their own. Of these two it is what they
// left in a kernel in the tests of deploy/package, which do run them.
package guests

import (
	"embed"
	"fmt"
)

//go:embed *.sh *.nft *.v4 *.v6
var files embed.FS

// Names are those of all.
var Names = []string{"docker", "docker28", "firewalld", "firewalld-iptables", "handmade", "libvirt", "libvirt-nft", "ufw"}

// Script is what the program does, for sh on the router; done once more it is the program's reload.
func Script(name string) string {
	if text, err := files.ReadFile(name + ".sh"); err == nil {
		return string(text)
	}
	if text, err := files.ReadFile(name + ".nft"); err == nil {
		return here("nft -f -", string(text))
	}
	return here("iptables-restore", read(name+".v4")) + here("ip6tables-restore", read(name+".v6"))
}

// Ruleset is one that nft reads.
func Ruleset(name string) string { return read(name + ".nft") }

func here(command, text string) string { return fmt.Sprintf("%s <<'END'\n%sEND\n", command, text) }

func read(name string) string {
	text, err := files.ReadFile(name)
	if err != nil {
		panic(err) // there is no such guest
	}
	return string(text)
}
