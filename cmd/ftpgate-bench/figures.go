package main

import "fmt"

// figure is a row of the table.
type figure struct {
	key      string // of the values
	title    string
	unit     string
	decimals int
	musts    []must
}

// must is a limit that a contestant has to keep: times another value, plus a constant.
type must struct {
	who     string
	atLeast bool // else: at most
	times   float64
	of      string // contestant; empty: the limit is plus alone
	key     string // of that contestant's value; empty: that of the figure itself
	plus    float64
}

// atLeast and atMost make limits that hang on the same figure of another contestant.
func atLeast(who string, times float64, of string) must {
	return must{who: who, atLeast: true, times: times, of: of}
}

func atMost(who string, times float64, of string, plus float64) must {
	return must{who: who, times: times, of: of, plus: plus}
}

// below makes a limit that is a number.
func below(who string, limit float64) must { return must{who: who, plus: limit} }

// figures are the rows of the table.
func figures() (all []figure) {
	for _, m := range []mode{passive, active} {
		all = append(all, smallFigures(m, 1, 0.7)...)
		all = append(all, figure{fmt.Sprintf("added.%s", m), fmt.Sprintf("added to forward, 1 KiB %s, p50", m), "ms", 3,
			[]must{below(ftpgateNFT, 0.3), below(ftpgateIPT, 5)}})
		all = append(all, smallFigures(m, crowd, 0.6)...)
	}
	for _, n := range []int{1, streams} {
		key, title := fmt.Sprintf("bulk.%d", n), fmt.Sprintf("bulk, %d at once", n)
		all = append(all,
			figure{key + ".rate", title, "GiB/s", 2,
				[]must{atLeast(ftpgateNFT, 0.97, forward), atLeast(ftpgateIPT, 0.97, forward)}},
			figure{key + ".cpu", title + ", gateway's CPU", "s/GiB", 4,
				[]must{below(ftpgateNFT, 0.01), below(ftpgateIPT, 0.01)}})
	}
	return append(append(all,
		figure{"noop.p50", "NOOP round trip, p50", "µs", 0, []must{atMost(ftpgateNFT, 1, forward, 60), atMost(ftpgateIPT, 1, forward, 60)}},
		figure{"noop.p99", "NOOP round trip, p99", "µs", 0, nil},
		figure{"logins.rate", fmt.Sprintf("connect, login, QUIT, %d at once", visitors), "1/s", 0,
			[]must{atLeast(ftpgateNFT, 0.5, kernel), atLeast(ftpgateIPT, 0.5, kernel)}},
	), onceFigures()...)
}

// smallFigures are those of small files in one mode, with so many sessions.
func smallFigures(m mode, sessions int, share float64) []figure {
	key := fmt.Sprintf("small.%s.%d.", m, sessions)
	title := fmt.Sprintf("1 KiB %s, %s", m, counted(sessions, "session"))
	return []figure{
		{key + "rate", title, "files/s", 0, []must{atLeast(ftpgateNFT, share, kernel), atLeast(ftpgateNFT, 3, modProxy)}},
		{key + "p50", title + ", p50", "ms", 3, nil},
		{key + "p99", title + ", p99", "ms", 3, nil},
		{key + "cpu", title + ", gateway's CPU per 1,000", "ms", 0, nil},
	}
}

// onceFigures are those that are measured once per run, because they take long.
func onceFigures() (all []figure) {
	for _, pinholes := range openingCrowds {
		key := fmt.Sprintf("opening.%d.", pinholes)
		title := fmt.Sprintf("PASV to 227 among %s (once)", counted(pinholes, "pinhole"))
		var musts []must
		if pinholes == openingCrowds[len(openingCrowds)-1] {
			musts = []must{{who: ftpgateNFT, times: 1.25, of: ftpgateNFT, key: "opening.0.p50"}}
		}
		all = append(all,
			figure{key + "p50", title + ", p50", "ms", 3, musts},
			figure{key + "p99", title + ", p99", "ms", 3, nil})
	}
	return append(all,
		figure{"memory.login", "memory per session, just logged in (once)", "KiB", 1, nil},
		figure{"memory.idle", fmt.Sprintf("memory per session, %v later (once)", settleTime), "KiB", 1,
			[]must{below(ftpgateNFT, 12)}},
		figure{"endpoint.metrics", fmt.Sprintf("/metrics with %s (once)", counted(idleSessions, "idle session")), "ms", 1,
			[]must{below(ftpgateNFT, 50)}},
		figure{"endpoint.sessions", "/api/v1/sessions, a page of 1,000 of them (once)", "ms", 1, nil})
}

// counted writes a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%s %ss", grouped(n), noun)
}

// grouped writes a number of up to six digits with a comma before its last three.
func grouped(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
