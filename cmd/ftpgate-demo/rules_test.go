package main

import (
	"slices"
	"strings"
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

func TestNewestPinhole(t *testing.T) {
	rules, err := newestPinhole(saved, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := rules.translation(); got != "DNAT" {
		t.Errorf("translation is %s", got)
	}
	var short []string
	for _, rule := range rules {
		short = append(short, abridged(rule))
	}
	want := []string{
		"-A FTPGATE-GATE -s 203.0.113.20 -d 203.0.113.1 -i wan0 -p tcp --dport 50572 --syn -m time ... -m hashlimit ... -j CONNMARK ...",
		"-A FTPGATE-DNAT -s 203.0.113.20 -d 203.0.113.1 -p tcp --dport 50572 -j DNAT --to-destination 192.168.50.10:46544",
	}
	if !slices.Equal(short, want) {
		t.Errorf("got\n%s", strings.Join(short, "\n"))
	}
	if rules, err := newestPinhole(saved, 12); err != nil || rules.translation() != "untouched" || len(rules) != 1 {
		t.Errorf("session 12: %q, %v", rules, err)
	}
	if rules, err := newestPinhole(saved, 2); err == nil {
		t.Errorf("session 2 has %q", rules)
	}
}

func TestPhrases(t *testing.T) {
	got := phrases(`-A X ! -s 1.2.3.4 -m comment --comment "two words" -j Y`)
	want := []string{"-A X", "! -s 1.2.3.4", "-m comment", `--comment "two words"`, "-j Y"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
