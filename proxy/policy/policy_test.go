package policy

import (
	"errors"
	"net/netip"
	"testing"
)

var anywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

func networks(texts ...string) (list []netip.Prefix) {
	for _, t := range texts {
		list = append(list, netip.MustParsePrefix(t))
	}
	return list
}

func at(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// The rules of the table: what an administrator with two LAN networks, a
// published server and a routed one would write.
var rules = Rules{
	{Name: "guests", Direction: Outbound, Clients: networks("192.168.60.0/24"), Servers: networks("198.51.100.0/24"), Ports: []uint16{21}},
	{Name: "office", Direction: Outbound, Clients: networks("192.168.50.0/24", "fd50::/64"), Servers: anywhere, Ports: []uint16{21, 2121}},
	{Name: "partner", Direction: Inbound, Clients: networks("198.51.100.0/24"), Servers: anywhere, Ports: []uint16{21},
		Server: []netip.AddrPort{at("192.168.50.21:2100")}},
	{Name: "public", Direction: Inbound, Clients: anywhere, Servers: anywhere, Ports: []uint16{21},
		Server: []netip.AddrPort{at("192.168.50.20:21"), at("[2001:db8:50::20]:21")}},
	{Name: "second", Direction: Inbound, Clients: anywhere, Servers: networks("203.0.113.2/32"), Ports: []uint16{990},
		Server: []netip.AddrPort{at("192.168.50.22:21")}},
	{Name: "routed", Direction: Inbound, Clients: anywhere, Servers: networks("2001:db8:99::/64"), Ports: []uint16{21}},
	{Name: "nobody", Direction: Inbound, Ports: []uint16{2222}, Server: []netip.AddrPort{at("192.168.50.20:21")}},
}

func TestDecide(t *testing.T) {
	const lan, wan = true, false
	const local, beyond = true, false
	for name, c := range map[string]struct {
		client, dialled string
		fromLAN, local  bool
		rule, server    string // rule "": refused
		inner           bool   // the dialled address lies on the LAN side
	}{
		"out":                                   {"192.168.50.10:1027", "203.0.113.20:21", lan, beyond, "office", "203.0.113.20:21", false},
		"out, second port":                      {"192.168.50.10:1027", "203.0.113.20:2121", lan, beyond, "office", "203.0.113.20:2121", false},
		"out, port of no rule":                  {"192.168.50.10:1027", "203.0.113.20:2122", lan, beyond, "", "", false},
		"out, IPv6":                             {"[fd50::10]:1027", "[2001:db8::1]:21", lan, beyond, "office", "[2001:db8::1]:21", false},
		"out, client of no rule":                {"192.168.70.10:1027", "203.0.113.20:21", lan, beyond, "", "", false},
		"out, the first rule that fits decides": {"192.168.60.10:1027", "198.51.100.7:21", lan, beyond, "guests", "198.51.100.7:21", false},
		"out, server of no rule":                {"192.168.60.10:1027", "203.0.113.20:21", lan, beyond, "", "", false},
		"out, but to another LAN":               {client: "192.168.50.10:1027", dialled: "192.168.60.20:21", fromLAN: lan, inner: true},
		"out, to a server that is named":        {client: "192.168.60.10:1027", dialled: "198.51.100.9:21", fromLAN: lan, inner: true, rule: "guests", server: "198.51.100.9:21"},
		"in":                                    {"203.0.113.66:1027", "203.0.113.1:21", wan, local, "public", "192.168.50.20:21", false},
		"in, another rule for the partner":      {"198.51.100.9:1027", "203.0.113.1:21", wan, local, "partner", "192.168.50.21:2100", false},
		"in, IPv6 gets the server of IPv6":      {"[2001:db8:7::1]:1027", "[2001:db8:113::1]:21", wan, local, "public", "[2001:db8:50::20]:21", false},
		"in, the server's own address":          {"203.0.113.66:1027", "192.168.50.20:21", wan, beyond, "public", "192.168.50.20:21", false},
		"in, the server's own address and port": {"198.51.100.9:1027", "192.168.50.21:2100", wan, beyond, "partner", "192.168.50.21:2100", false},
		"in, another server behind us":          {"203.0.113.66:1027", "192.168.50.99:21", wan, beyond, "", "", false},
		"in, one public address of several":     {"203.0.113.66:1027", "203.0.113.2:990", wan, local, "second", "192.168.50.22:21", false},
		"in, the wrong public address":          {"203.0.113.66:1027", "203.0.113.1:990", wan, local, "", "", false},
		"in, routed network":                    {"[2001:db8:7::1]:1027", "[2001:db8:99::5]:21", wan, beyond, "routed", "[2001:db8:99::5]:21", false},
		"in, a set that was never filled":       {"203.0.113.66:1027", "203.0.113.1:2222", wan, local, "", "", false},
		"hairpin":                               {"192.168.50.10:1027", "203.0.113.1:21", lan, local, "public", "192.168.50.20:21", false},
		"a WAN client gets no outbound rule":    {"192.168.50.10:1027", "203.0.113.20:2121", wan, beyond, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			rule, server, err := rules.Decide(Arrival{Client: at(c.client), Dialled: at(c.dialled), FromLAN: c.fromLAN, Local: c.local, ToWAN: c.fromLAN && !c.local && !c.inner})
			if c.rule == "" {
				if refusal := new(Refusal); !errors.As(err, &refusal) || refusal.Code != 421 {
					t.Fatalf("got rule %v, %v", rule, err)
				}
				return
			}
			if err != nil || rule.Name != c.rule || server != at(c.server) {
				t.Fatalf("got %v, %v, %v", rule, server, err)
			}
		})
	}
}

func TestEndpoint(t *testing.T) {
	client := netip.MustParseAddr("192.168.1.10")
	refuse, substitute := &Rule{ForeignAddress: Refuse}, &Rule{ForeignAddress: Substitute}
	for name, c := range map[string]struct {
		rule    *Rule
		claimed string
		want    string
		code    int
	}{
		"own address":              {refuse, "192.168.1.10:6275", "192.168.1.10:6275", 0},
		"foreign":                  {refuse, "192.168.1.11:6275", "", 501},
		"loopback":                 {refuse, "127.0.0.1:6275", "", 501},
		"another family":           {refuse, "[::ffff:192.168.1.10]:6275", "", 501},
		"foreign, substituted":     {substitute, "10.0.0.9:6275", "192.168.1.10:6275", 0},
		"low port":                 {refuse, "192.168.1.10:1023", "", 504},
		"first free port":          {refuse, "192.168.1.10:1024", "192.168.1.10:1024", 0},
		"low port, substituted":    {substitute, "10.0.0.9:22", "", 504},
		"X11":                      {refuse, "192.168.1.10:6000", "", 504},
		"last X11 display":         {refuse, "192.168.1.10:6063", "", 504},
		"behind X11":               {refuse, "192.168.1.10:6064", "192.168.1.10:6064", 0},
		"a database":               {refuse, "192.168.1.10:5432", "", 504},
		"foreign before low":       {refuse, "192.168.1.11:25", "", 501},
		"the last port that exist": {refuse, "192.168.1.10:65535", "192.168.1.10:65535", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.rule.Endpoint(at(c.claimed), client)
			if c.code != 0 {
				if refusal := new(Refusal); !errors.As(err, &refusal) || refusal.Code != c.code {
					t.Fatalf("got %v, %v", got, err)
				}
				return
			}
			if err != nil || got != at(c.want) {
				t.Fatalf("got %v, %v", got, err)
			}
		})
	}
}

func TestAllow(t *testing.T) {
	for name, c := range map[string]struct {
		commands  Commands
		verb, arg string
		allowed   bool
	}{
		"full":                         {Commands{Preset: Full}, "STOR", "f", true},
		"full, a verb nobody knows":    {Commands{Preset: Full}, "XYZZY", "", true},
		"full, denied":                 {Commands{Preset: Full, Deny: []string{"SITE"}}, "SITE", "CHMOD 777 f", false},
		"read only, reading":           {Commands{Preset: ReadOnly}, "RETR", "f", true},
		"read only, listing":           {Commands{Preset: ReadOnly}, "MLSD", "", true},
		"read only, writing":           {Commands{Preset: ReadOnly}, "STOR", "f", false},
		"read only, removing":          {Commands{Preset: ReadOnly}, "DELE", "f", false},
		"read only, a verb unknown":    {Commands{Preset: ReadOnly}, "COMB", "a b", false},
		"read only, time":              {Commands{Preset: ReadOnly}, "MDTM", "f", true},
		"read only, setting the time":  {Commands{Preset: ReadOnly}, "MDTM", "20260101000000 f", false},
		"read only, with a time zone":  {Commands{Preset: ReadOnly}, "MDTM", "20260101000000+60 f", false},
		"read only, digits and a name": {Commands{Preset: ReadOnly}, "MDTM", "20260101000000.txt old", true},
		"denied by its old name":       {Commands{Preset: Full, Deny: []string{"RMD"}}, "XRMD", "d", false},
		"read only, a file of digits":  {Commands{Preset: ReadOnly}, "MDTM", "20260101000000", true},
		"read only, denied beside":     {Commands{Preset: ReadOnly, Deny: []string{"NLST"}}, "NLST", "", false},
		"upload only, writing":         {Commands{Preset: UploadOnly}, "STOR", "f", true},
		"upload only, listing":         {Commands{Preset: UploadOnly}, "LIST", "", true},
		"upload only, reading":         {Commands{Preset: UploadOnly}, "RETR", "f", false},
		"upload only, renaming":        {Commands{Preset: UploadOnly}, "RNFR", "f", false},
		"every preset lets people out": {Commands{Preset: UploadOnly}, "QUIT", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.commands.Allow(c.verb, []byte(c.arg))
			if refusal := new(Refusal); (err == nil) != c.allowed || err != nil && (!errors.As(err, &refusal) || refusal.Code != 502) {
				t.Fatal(err)
			}
		})
	}
}

func TestAdmit(t *testing.T) {
	for name, c := range map[string]struct {
		users Users
		user  string
		admit bool
	}{
		"anybody":               {Users{}, "x", true},
		"denied":                {Users{Deny: []string{"root"}}, "root", false},
		"not denied":            {Users{Deny: []string{"root"}}, "toor", true},
		"allowed":               {Users{Allow: []string{"backup", "scan-*"}}, "scan-7", true},
		"a star may be nothing": {Users{Allow: []string{"scan-*"}}, "scan-", true},
		"not allowed":           {Users{Allow: []string{"backup"}}, "backups", false},
		"deny goes first":       {Users{Allow: []string{"*"}, Deny: []string{"root"}}, "root", false},
		"stars in the middle":   {Users{Allow: []string{"a*b*c"}}, "a-b-b-c", true},
		"not in order":          {Users{Allow: []string{"a*b*c"}}, "a-c-b", false},
		"one byte twice":        {Users{Allow: []string{"a*a"}}, "a", false},
		"case does not help":    {Users{Deny: []string{"admin*"}}, "ADMINISTRATOR", false},
		"case counts":           {Users{Allow: []string{"backup"}}, "Backup", false},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.users.Admit(c.user)
			if refusal := new(Refusal); (err == nil) != c.admit || err != nil && (!errors.As(err, &refusal) || refusal.Code != 530) {
				t.Fatal(err)
			}
		})
	}
}
