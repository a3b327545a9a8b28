package main

import (
	"strings"
	"testing"
	"time"
)

// exampleReport is of two rounds of two contestants.
func exampleReport() report {
	s := newScores()
	for _, rate := range []float64{900, 1100} {
		s.add(kernel, "small.passive.1.rate", rate)
		s.add(ftpgateNFT, "small.passive.1.rate", rate/2)
	}
	s.add(kernel, "bulk.1.rate", 2)
	s.add(ftpgateNFT, "bulk.1.rate", 2)
	s.add(ftpgateNFT, "bulk.1.cpu", 0.005)
	s.add(ftpgateNFT, "opening.0.p50", 0.2)
	s.add(ftpgateNFT, "opening.5000.p50", 0.25)
	s.note("something was odd")
	o := options{rounds: 2, duration: time.Second, only: []string{kernel, ftpgateNFT}}
	return newReport(o, machine{Cores: 2, CPU: "abacus"}, s)
}

func TestTable(t *testing.T) {
	var b strings.Builder
	if err := exampleReport().writeText(&b); err != nil {
		t.Fatal(err)
	}
	squeezed := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{
		"figure unit kernel ftpgate-nft nft : kernel ipt : kernel must",
		"1 KiB passive, 1 session files/s 1000 500 0.50 - nft ≥ 0.7 × kernel MISSED",
		"bulk, 1 at once GiB/s 2.00 2.00 1.00 - bulk,", // nothing was measured that it must be compared with
		"bulk, 1 at once, gateway's CPU s/GiB - 0.0050 - - nft ≤ 0.01 reached",
		"PASV to 227 among 5,000 pinholes (once), p50 ms - 0.250 - - nft ≤ 1.25 × its own without pinholes reached",
		"2 × abacus", "something was odd",
	} {
		if !strings.Contains(squeezed, want) {
			t.Errorf("there is no %q in\n%s", want, b.String())
		}
	}
}

func TestMarkdown(t *testing.T) {
	var b strings.Builder
	exampleReport().writeMarkdown(&b)
	var columns int
	for i, line := range strings.Split(b.String(), "\n") {
		if !strings.HasPrefix(line, "|") {
			break
		}
		if n := strings.Count(line, "|"); i == 0 {
			columns = n
		} else if n != columns {
			t.Errorf("line %d has %d bars, the heading has %d: %s", i+1, n, columns, line)
		}
	}
	if columns != len(exampleReport().heading())+1 {
		t.Errorf("the heading has %d bars:\n%s", columns, b.String())
	}
}

// TestFigures: each target is about contestants and figures that exist, and no two figures are the same.
func TestFigures(t *testing.T) {
	keys := make(map[string]bool)
	for _, f := range figures() {
		if keys[f.key] {
			t.Errorf("two figures are called %s", f.key)
		}
		keys[f.key] = true
	}
	contestants := strings.Join(contestantNames(), " ")
	for _, f := range figures() {
		for _, m := range f.musts {
			if !strings.Contains(contestants, m.who) || !strings.Contains(contestants, m.of) || m.key != "" && !keys[m.key] {
				t.Errorf("%s: %+v", f.key, m)
			}
		}
	}
	for _, p := range probes() {
		for quantity := range p.read(outcome{Count: 1, Seconds: 1, Bytes: gib}) {
			if !keys[p.key+"."+quantity] {
				t.Errorf("%s.%s is measured and not shown", p.key, quantity)
			}
		}
	}
}

func TestParse(t *testing.T) {
	for _, bad := range [][]string{
		{"--only", "nobody"}, {"--figures", "small,large"}, {"--rounds", "0"}, {"--seconds", "0"}, {"more"}, {"--unknown"},
	} {
		if _, err := parse(bad); err == nil || tell(err) != exitUsage {
			t.Errorf("%v: %v", bad, err)
		}
	}
	for _, bad := range [][]string{{"--backend", "pf"}, {"--sessions", "0"}, {"--files", "-1"}, {"--every", "0s"}, {"more"}} {
		if _, err := parseSoak(bad); err == nil || tell(err) != exitUsage {
			t.Errorf("soak %v: %v", bad, err)
		}
	}
}
