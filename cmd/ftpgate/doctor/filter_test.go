package doctor

import (
	"os"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/configs"
	"github.com/ftpgate/ftpgate/firewall/iptables"
)

func TestIPTables(t *testing.T) {
	for _, c := range []struct{ name, table, rules, want string }{
		{"policies that our lines overcome", "filter", "-P INPUT DROP\n-P FORWARD DROP\n-A INPUT -i lo -j ACCEPT", ""},
		{"a drop that our lines come before", "filter", "-A FORWARD -j DROP\n-A INPUT -p tcp -m tcp --dport 21 -j REJECT --reject-with tcp-reset", ""},
		{"output", "filter", "-P OUTPUT DROP", "drop-output fails"},
		{"output that lets FTP out", "filter", "-P OUTPUT DROP\n-A OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n" +
			"-A OUTPUT -p tcp -m multiport --dports 21,80,443 -j ACCEPT", ""},
		{"output that lets some servers be reached", "filter", "-P OUTPUT DROP\n-A OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n" +
			"-A OUTPUT -d 192.168.50.0/24 -p tcp -j ACCEPT\n-A OUTPUT -d 198.51.100.1/32 -p tcp -m tcp --dport 21 -j ACCEPT", "drop-output warns"},
		{"a jump and a return", "filter", "-A OUTPUT -p tcp -j OUT\n-A OUT -p tcp -m tcp --dport 21 -j RETURN\n-A OUT -p tcp -m tcp --sport 21 -j RETURN\n-A OUT -j DROP", ""},
		{"a jump to a drop", "filter", "-A OUTPUT -p tcp -j OUT\n-A OUT -p udp -j RETURN\n-A OUT -j DROP", "drop-output fails"},
		{"goto", "filter", "-A OUTPUT -g OUT\n-A OUTPUT -j DROP\n-A OUT -p tcp -j ACCEPT", ""},
		{"other protocols and interfaces", "raw", "-A PREROUTING -p udp -j DROP\n-A PREROUTING -i dmz+ -j DROP\n-A PREROUTING ! -i lan+ -p tcp -m tcp --dport 23 -j DROP", ""},
		{"a pattern of interfaces", "raw", "-A PREROUTING -i wan+ -p tcp -m tcp --dport 1:1023 -j DROP", "drop-prerouting fails"},
		{"data ports", "raw", "-A PREROUTING -i wan0 -p tcp -m tcp --dport 32768:65535 -j DROP", "drop-prerouting fails, drop-prerouting warns"},
		{"half of the data ports", "raw", "-A PREROUTING -i wan0 -p tcp -m tcp --dport 50000:50999 -j DROP", "drop-prerouting warns"},
		{"a port among many", "raw", "-A PREROUTING -p tcp -m tcp --dport 3306 -j DROP", "drop-prerouting notes"},
		{"bogons", "raw", "-A PREROUTING -s 10.0.0.0/8 -i wan0 -j DROP", "drop-prerouting notes"},
		{"spoofed LAN addresses", "raw", "-A PREROUTING ! -s 192.168.50.0/24 -i lan0 -j DROP", ""},
		{"LAN clients", "raw", "-A PREROUTING -s 192.168.0.0/16 -i lan0 -j DROP", "drop-prerouting fails"},
		{"a list of addresses", "raw", "-A PREROUTING -m set --match-set bad src -j DROP", "drop-prerouting notes"},
		{"a limit", "raw", "-A PREROUTING -p tcp -m limit --limit 10/sec -j ACCEPT\n-A PREROUTING -j DROP", "drop-prerouting warns"},
		{"an unknown match", "raw", "-A PREROUTING -p tcp -m string --string x --algo bm -j DROP", "drop-prerouting warns"},
		{"a queue", "mangle", "-A PREROUTING -p tcp -j NFQUEUE --queue-num 0", "drop-prerouting warns"},
		{"what TCP has not", "mangle", "-A PREROUTING -m rt --rt-type 0 -j DROP\n-A PREROUTING -f -j DROP\n-A PREROUTING -p ipv6-icmp -j DROP", ""},
		{"no SYN in the beginning", "mangle", "-A PREROUTING -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack --ctstate NEW -j DROP\n" +
			"-A PREROUTING -m conntrack --ctstate INVALID -j DROP", ""},
		{"new ones", "mangle", "-A POSTROUTING -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack --ctstate NEW -j DROP", "drop-postrouting fails"},
		{"our pinholes let pass", "mangle", "-A FORWARD -m connmark --mark 0x47000000/0xff000000 -j ACCEPT\n-A FORWARD -j DROP", ""},
		{"in mangle our lines do not stand", "mangle", "-A FORWARD -i wan0 -m conntrack --ctstate NEW -j DROP", "drop-forward fails"},
		{"comments that look like options", "raw", `-A PREROUTING -p tcp -m comment --comment "-j ACCEPT ! -i" -m tcp --dport 21 -j DROP`, "drop-prerouting fails"},
		{"a mark with a mask", "mangle", "-A PREROUTING -j MARK --set-xmark 0x1/0xff\n-A FORWARD -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff", ""},
		{"a mark without a mask, before ours is set", "mangle", "-A PREROUTING -j MARK --set-xmark 0x1/0xffffffff", ""},
		{"a mark without a mask, behind ours", "mangle", "-A INPUT -j MARK --set-xmark 0x1/0xffffffff\n-A OUTPUT -j MARK --set-xmark 0x1/0xffffffff", "mark-overwritten fails"},
		{"a mark for others", "mangle", "-A PREROUTING -p udp -j MARK --set-xmark 0x1/0xffffffff\n-A PREROUTING -i dmz0 -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff", ""},
		{"marks saved too late to lose ours", "mangle", "-A PREROUTING -m conntrack --ctstate NEW -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff", ""},
		{"marks saved", "mangle", "-A POSTROUTING -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff", "mark-overwritten fails"},
		{"not tracked", "raw", "-A PREROUTING -p tcp -m tcp --dport 21 -j CT --notrack", "untracked fails"},
		{"others not tracked", "raw", "-A PREROUTING -p udp -j NOTRACK\n-A OUTPUT -p tcp -m tcp --dport 53 -j CT --notrack", ""},
		{"helper", "raw", "-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp", "kernel-helper warns"},
		{"other helper", "raw", "-A PREROUTING -p udp -m udp --dport 69 -j CT --helper tftp\n-A OUTPUT -p tcp -m tcp --dport 21 -j CT --helper sip", ""},
		{"ufw", "filter", "-P INPUT DROP\n-A INPUT -j ufw-before-input\n-A ufw-before-input -m conntrack --ctstate INVALID -j DROP", "owner-ufw notes"},
		{"what arrives by another interface than its source is behind", "mangle", "-A PREROUTING -m rpfilter --validmark --invert -j DROP", "drop-prerouting notes"},
		{"what arrives as its source would be reached", "mangle", "-A PREROUTING -m rpfilter -j ACCEPT\n-A PREROUTING -p tcp -j DROP", "drop-prerouting warns"},
		{"Docker", "filter", "-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j RETURN", "owner-docker notes"},
		{"ours", "filter", "-A OUTPUT -m comment --comment \"ftpgate: a test\" -j ACCEPT", "leftovers fails"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := good()
			chainsOf(f, iptables.NFT, c.table, c.rules)
			wantIDs(t, f, c.want)
		})
	}
}

// TestOtherVariant: the backend iptables admits in one variant alone, the backend nftables in both.
func TestOtherVariant(t *testing.T) {
	for _, c := range []struct {
		backend Backend
		want    string
	}{
		{Backend{Name: configs.BackendNFTables}, "iptables-both notes"},
		{Backend{Name: configs.BackendIPTables, Program: "iptables-nft"}, "drop-forward fails, iptables-both warns"},
		{Backend{Name: configs.BackendIPTables, Program: "iptables-legacy"}, "drop-input fails, iptables-both warns"},
	} {
		f := good()
		f.Backend = c.backend
		chainsOf(f, iptables.NFT, "filter", "-P INPUT DROP")
		chainsOf(f, iptables.Legacy, "filter", "-P FORWARD DROP")
		wantIDs(t, f, c.want)
	}
}

// TestNFT reads what nft shows of a table that uses each kind of match. The comment of a rule says whether it matches the
// first packet of a LAN client.
func TestNFT(t *testing.T) {
	document, err := os.ReadFile("testdata/table.json")
	if err != nil {
		t.Fatal(err)
	}
	listing, err := os.ReadFile("testdata/table.nft")
	if err != nil {
		t.Fatal(err)
	}
	f := good()
	if err := f.Ruleset.addNFT(document, listing); err != nil {
		t.Fatal(err)
	}
	c := f.Ruleset.tables[0].chains["input"]
	var control *packet
	for _, p := range f.packets() {
		if strings.HasPrefix(p.what, "control connections of clients at lan0 to port 21 (IPv4)") {
			control = p.at(c, f)
		}
	}
	for _, r := range c.rules {
		_, said, ok := strings.Cut(r.text, `comment "`)
		if !ok {
			t.Errorf("no comment: %q", r.text)
			continue
		}
		want := strings.TrimSuffix(said, `"`)
		got := map[truth]string{no: "no", yes: "yes", few: "few", some: "some", unsure: "unsure"}[allOf(r.when)(control)]
		if got != want {
			t.Errorf("%s: %s", r.text, got)
		}
	}
}

// TestNFTDrops: chains of native tables, with and without our lines.
func TestNFTDrops(t *testing.T) {
	table := func(hook, policy string, priority int) *Facts {
		f := good()
		tab := &table{program: programNFT, family: "inet", name: "guard", chains: map[string]*chain{}}
		c := &chain{table: tab, name: "c", hook: hook, kind: "filter", priority: priority, drops: policy == "drop"}
		tab.chains["c"], tab.order = c, []*chain{c}
		f.Ruleset.tables = append(f.Ruleset.tables, tab)
		return f
	}
	for _, c := range []struct {
		f    *Facts
		want string
	}{
		{table(hookForward, "drop", 0), ""},
		{table(hookInput, "drop", 0), ""},
		{table(hookOutput, "drop", 0), "drop-output fails"},
		{table(hookPostrouting, "drop", 0), "drop-postrouting fails"},
		{table(hookPrerouting, "drop", -300), "drop-prerouting fails"},
		{func() *Facts { f := table(hookForward, "drop", 0); f.Backend.Name = configs.BackendIPTables; return f }(), "drop-forward fails"},
		{func() *Facts { f := table(hookForward, "drop", 0); f.Ruleset.tables[0].owned = true; return f }(), "drop-forward fails"},
		{func() *Facts {
			f := table(hookIngress, "drop", 0)
			f.Ruleset.tables[0].order[0].device = "dmz0"
			return f
		}(), ""},
	} {
		wantIDs(t, c.f, c.want)
	}
}

// TestMarksOverwritten: whether a rule overwrites our mark depends on where each backend sets it.
func TestMarksOverwritten(t *testing.T) {
	nft, own, other := Backend{Name: configs.BackendNFTables}, Backend{Name: configs.BackendIPTables, Program: "iptables-nft"},
		Backend{Name: configs.BackendIPTables, Program: "iptables-legacy"}
	native := func(priority int) func(*Facts) {
		return func(f *Facts) {
			tab := &table{program: programNFT, family: "inet", name: "wans", chains: map[string]*chain{}}
			c := &chain{table: tab, name: "pre", hook: hookPrerouting, kind: "filter", priority: priority}
			c.rules = []*rule{{chain: c, text: "meta mark set 0x1", effects: []effect{{kind: overwritesMark}}}}
			tab.chains["pre"], tab.order = c, []*chain{c}
			f.Ruleset.tables = append(f.Ruleset.tables, tab)
		}
	}
	mangle := func(f *Facts) {
		chainsOf(f, iptables.NFT, "mangle", "-A PREROUTING -j MARK --set-xmark 0x1/0xffffffff")
	}
	for _, c := range []struct {
		name    string
		backend Backend
		rules   func(*Facts)
		want    string
	}{
		{"nftables, mangle", nft, mangle, ""},
		{"nftables, before", nft, native(-140), ""},
		{"nftables, behind", nft, native(-115), "mark-overwritten fails"},
		{"iptables, behind our jump", own, mangle, ""},
		{"iptables, of the other variant", other, mangle, "mark-overwritten fails"},
		{"iptables, before", own, native(-155), ""},
		{"iptables, behind", own, native(-140), "mark-overwritten fails"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := good()
			f.Backend = c.backend
			c.rules(f)
			wantIDs(t, f, c.want)
		})
	}
}

// TestNFTOwned reads a table with the flag owner, as nft 1.0.6 shows it: with garbage.
func TestNFTOwned(t *testing.T) {
	f := good()
	document := "{\"nftables\": [{\"metainfo\": {}}, {\"table\": {\"family\": \"inet\", \"name\": \"firewalld\", \"handle\": 1, \"flags\": \"\x01\xff\"}}, " +
		`{"chain": {"family": "inet", "table": "firewalld", "name": "forward", "handle": 1, "type": "filter", "hook": "forward", "prio": 10, "policy": "drop"}}]}`
	listing := "table inet firewalld { # handle 1 progname nft\n\tflags owner\n\n\tchain forward { # handle 1\n\t\ttype filter hook forward priority filter + 10; policy drop;\n\t}\n}\n"
	if err := f.Ruleset.addNFT([]byte(document), []byte(listing)); err != nil {
		t.Fatal(err)
	}
	r := wantIDs(t, f, "drop-forward fails, owner-firewalld notes")
	for _, c := range r.Checks {
		if c.Check == "forward" && c.Findings[0].Cure != ownedCure {
			t.Errorf("cure %q", c.Findings[0].Cure)
		}
	}
}
