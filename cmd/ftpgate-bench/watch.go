package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
)

// pinholeRules are the commands that show each backend's pinholes.
var pinholeRules = map[string][][]string{
	"nftables": {{"nft", "list", "ruleset"}},
	"iptables": {{"iptables-nft", "-t", "nat", "-S"}, {"ip6tables-nft", "-t", "nat", "-S"}},
}

// ofPinhole is the comment by which ftpgate's rules and elements of pinholes are known; others of it have another.
var ofPinhole = regexp.MustCompile(`"ftpgate \d+ session `)

// sample is one look at the daemon.
type sample struct {
	at        time.Duration // since the beginning
	files     int           // fetched so far
	memory    int64         // VmRSS, in bytes
	open      int           // files that the daemon has open: sessions, and each lent port
	pinholes  int           // rules or elements of pinholes
	conntrack int           // connections that the router remembers
}

// sampleHeading stands above the printed samples.
const sampleHeading = "  seconds     files   VmRSS KiB  open files  rules  conntrack"

// watch is a soak under observation.
type watch struct {
	contestant *contestant
	backend    string
	out        io.Writer
	begin      time.Time
	before     sample // when there was no session yet
	samples    []sample
	result     outcome
}

func (w *watch) print(s sample) {
	fmt.Fprintf(w.out, "%9.1f %9d %11d %11d %6d %10d\n",
		s.at.Seconds(), s.files, s.memory>>10, s.open, s.pinholes, s.conntrack)
}

// look takes a sample. It fails if the daemon is gone.
func (w *watch) look(ctx context.Context) (s sample, err error) {
	router, pid := w.contestant.lab.Host(lab.Router), w.contestant.pid()
	s.at = time.Since(w.begin)
	if s.memory, err = residentSet(pid); err != nil {
		return s, fmt.Errorf("the daemon's memory: %w", err)
	}
	if s.open, err = openFiles(pid); err != nil {
		return s, fmt.Errorf("the daemon's open files: %w", err)
	}
	for _, command := range pinholeRules[w.backend] {
		rules, err := router.Run(ctx, command[0], command[1:]...)
		if err != nil {
			return s, err
		}
		s.pinholes += len(ofPinhole.FindAllString(rules, -1))
	}
	count, err := router.Sysctl("net.netfilter.nf_conntrack_count")
	if err != nil {
		return s, fmt.Errorf("counting connections: %w", err)
	}
	s.conntrack, err = strconv.Atoi(count)
	return s, err
}

// growth is the slope of the memory over time in bytes per second, by least squares.
func growth(samples []sample) float64 {
	n := float64(len(samples))
	var t, m, tt, tm float64
	for _, s := range samples {
		x, y := s.at.Seconds(), float64(s.memory)
		t, m, tt, tm = t+x, m+y, tt+x*x, tm+x*y
	}
	spread := n*tt - t*t
	if spread == 0 {
		return 0
	}
	return (n*tm - t*m) / spread
}
