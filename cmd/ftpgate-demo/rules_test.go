package main

import (
	"slices"
	"testing"
)

// saved is what iptables -t nat -S prints while a spent pinhole is still there and another session has one.
const saved = `-P PREROUTING ACCEPT
-N FTPGATE-GATE
-A FTPGATE-DNAT -s 203.0.113.20/32 -d 203.0.113.1/32 -p tcp -m tcp --dport 50571 -m comment --comment "ftpgate 9 session 1" -j DNAT --to-destination 192.168.50.10:46543
-A FTPGATE-DNAT -s 203.0.113.20/32 -d 203.0.113.1/32 -p tcp -m tcp --dport 50572 -m comment --comment "ftpgate 10 session 1" -j DNAT --to-destination 192.168.50.10:46544
-A FTPGATE-GATE -s 203.0.113.20/32 -d 203.0.113.1/32 -i wan0 -p tcp -m tcp --dport 50571 --tcp-flags FIN,SYN,RST,ACK SYN -m time --datestop 2026-11-22T22:24:29 -m hashlimit --hashlimit-upto 1/day --hashlimit-burst 1 --hashlimit-name ftpgate-b5af-1 -m comment --comment "ftpgate 9 session 1 until 2026-11-22T22:24:29Z" -j CONNMARK --set-xmark 0x47000000/0xff000000
-A FTPGATE-GATE -s 203.0.113.20/32 -d 203.0.113.1/32 -i wan0 -p tcp -m tcp --dport 50572 --tcp-flags FIN,SYN,RST,ACK SYN -m time --datestop 2026-11-22T22:24:29 -m hashlimit --hashlimit-upto 1/day --hashlimit-burst 1 --hashlimit-name ftpgate-b5af-2 -m comment --comment "ftpgate 10 session 1 until 2026-11-22T22:24:29Z" -j CONNMARK --set-xmark 0x47000000/0xff000000
-A FTPGATE-GATE -s 192.168.50.10/32 -d 203.0.113.20/32 -i lan0 -p tcp -m tcp --dport 40000 -m comment --comment "ftpgate 11 session 12 until 2026-11-22T22:24:29Z" -j CONNMARK --set-xmark 0x47000000/0xff000000
`

// listed is the same by nft list table.
const listed = `table ip ftpgate {
	comment "written by ftpgate, see README"
	set open {
		type ifname . ipv4_addr . ipv4_addr . inet_service
		flags timeout
		limit rate 1/day burst 1 packets
		comment "pinholes: each admits one connection"
		elements = { "wan0" . 203.0.113.20 . 203.0.113.1 . 50571 limit rate 1/day burst 1 packets timeout 1m expires 58s400ms comment "ftpgate 9 session 1",
			     "wan0" . 203.0.113.20 . 203.0.113.1 . 50572 limit rate 1/day burst 1 packets timeout 1m expires 59s960ms comment "ftpgate 10 session 1",
			     "lan0" . 192.168.50.10 . 203.0.113.20 . 40000 limit rate 1/day burst 1 packets timeout 1m comment "ftpgate 11 session 12" }
	}

	set open_from_port {
		type ifname . ipv4_addr . inet_service . ipv4_addr . inet_service
		flags timeout
	}

	map targets {
		type ipv4_addr . ipv4_addr . inet_service : ipv4_addr . inet_service
		flags timeout
		elements = { 203.0.113.20 . 203.0.113.1 . 50571 timeout 1m1s expires 59s400ms comment "ftpgate 9 session 1" : 192.168.50.10 . 46543,
			     203.0.113.20 . 203.0.113.1 . 50572 timeout 1m1s expires 59s400ms comment "ftpgate 10 session 1" : 192.168.50.10 . 46544 }
	}

	chain control {
		tcp sport != { 21, 2000, 2100 } return comment "not a control connection"
	}
}
`

func TestNewest(t *testing.T) {
	for _, c := range []struct {
		backend string
		all     []found
		want    []string
	}{
		{"iptables", iptablesRules(saved), []string{
			"-A FTPGATE-GATE -s 203.0.113.20 -d 203.0.113.1 -i wan0 -p tcp --dport 50572 --syn -m time ... -m hashlimit ... -j CONNMARK ...",
			"-A FTPGATE-DNAT -s 203.0.113.20 -d 203.0.113.1 -p tcp --dport 50572 -j DNAT --to-destination 192.168.50.10:46544",
		}},
		{"nftables", elements(listed), []string{
			`open "wan0" . 203.0.113.20 . 203.0.113.1 . 50572`,
			"targets 203.0.113.20 . 203.0.113.1 . 50572 : 192.168.50.10 . 46544",
		}},
	} {
		t.Run(c.backend, func(t *testing.T) {
			rules, err := newest(c.all, 1)
			if err != nil {
				t.Fatal(err)
			}
			if got := rules.translation(); got != "DNAT" {
				t.Errorf("translation is %s", got)
			}
			var short []string
			for _, rule := range rules {
				short = append(short, abridged(rule.text))
			}
			if !slices.Equal(short, c.want) {
				t.Errorf("got\n%q", short)
			}
			if rules, err := newest(c.all, 12); err != nil || rules.translation() != "untouched" || len(rules) != 1 {
				t.Errorf("session 12: %q, %v", rules, err)
			}
			if rules, err := newest(c.all, 2); err == nil {
				t.Errorf("session 2 has %q", rules)
			}
		})
	}
}

func TestPhrases(t *testing.T) {
	got := phrases(`-A X ! -s 1.2.3.4 -m comment --comment "two words" -j Y`)
	want := []string{"-A X", "! -s 1.2.3.4", "-m comment", `--comment "two words"`, "-j Y"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
