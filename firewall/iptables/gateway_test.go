package iptables

import (
	"strings"
	"testing"
)

// TestCloses: whether a host's FORWARD drops all that comes from the WAN and no rule accepts, and where our rules belong.
func TestCloses(t *testing.T) {
	for _, c := range []struct {
		name   string
		rules  string
		closes bool
		behind int
	}{
		{"no rules", ":FORWARD ACCEPT [0:0]", false, 0},
		{"a policy", ":FORWARD DROP [0:0]", true, 0},
		{"a policy, and a rule for all", ":FORWARD DROP [0:0]\n-A FORWARD -j ACCEPT", false, 0},
		{"a policy, and rules that demand something", ":FORWARD DROP [0:0]\n-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -i lan0 -j ACCEPT", true, 0},
		{"a last rule", ":FORWARD ACCEPT [0:0]\n-A FORWARD -i lan0 -j ACCEPT\n-A FORWARD -j REJECT --reject-with icmp-host-prohibited", true, 2},
		{"with a comment", ":FORWARD ACCEPT [0:0]\n-A FORWARD -m comment --comment \"-i x -j ACCEPT\" -j DROP\n-A FORWARD -j LOG", true, 1},
		{"of the WAN", ":FORWARD ACCEPT [0:0]\n-A FORWARD -i wan0 -j DROP", true, 0},
		{"of another", ":FORWARD ACCEPT [0:0]\n-A FORWARD -i wan1 -j DROP", false, 0},
		{"of many", ":FORWARD ACCEPT [0:0]\n-A FORWARD -i wan+ -j DROP", false, 0},
		{"of all but one", ":FORWARD ACCEPT [0:0]\n-A FORWARD ! -i wan0 -j DROP", false, 0},
		{"of a port", ":FORWARD ACCEPT [0:0]\n-A FORWARD -i wan0 -p tcp -m tcp --dport 25 -j DROP", false, 0},
		{"of a limit", ":FORWARD ACCEPT [0:0]\n-A FORWARD -m limit --limit 1/sec -j DROP", false, 0},
		{"in a chain", ":FORWARD ACCEPT [0:0]\n:USER - [0:0]\n-A FORWARD -j USER\n-A USER -p tcp -j ACCEPT\n-A USER -i wan0 -j DROP", true, 0},
		{"in a chain that returns", ":FORWARD ACCEPT [0:0]\n:USER - [0:0]\n-A FORWARD -j USER\n-A USER -j RETURN\n-A USER -j DROP", false, 0},
		{"behind a chain", ":FORWARD ACCEPT [0:0]\n:USER - [0:0]\n-A FORWARD -j USER\n-A FORWARD -j DROP\n-A USER -j LOG", true, 2},
		{"behind a chain that is not come back from", ":FORWARD ACCEPT [0:0]\n:USER - [0:0]\n-A FORWARD -g USER\n-A FORWARD -j DROP", false, 2},
		{"our own", ":FORWARD ACCEPT [0:0]\n:FTPGATE-GATEWAY - [0:0]\n-A FORWARD -m comment --comment ftpgate -j FTPGATE-GATEWAY\n-A FTPGATE-GATEWAY -i wan0 -j DROP", false, 0},
	} {
		set, err := parseSave(strings.NewReader("*filter\n" + c.rules + "\nCOMMIT\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := set.closes("wan0"); got != c.closes {
			t.Errorf("%s: closes is %t", c.name, got)
		}
		if got := set["filter"].behind(forward); got != c.behind {
			t.Errorf("%s: behind is %d", c.name, got)
		}
	}
	if (ruleset{}).closes("wan0") {
		t.Error("a host without the table closes something")
	}
}
