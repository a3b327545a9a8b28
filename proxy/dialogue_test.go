package proxy

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A dialogue is a file of cases in testdata/dialogues. A case begins with
//
//	== P01 the title
//
// where the first word is the id of its vector in testdata/vectors.txt, or a
// hyphen. Lines that begin with # are comments. Settings come first:
//
//	outbound | inbound | routed ...   who is who, see scenes
//	greeting                     stop before the greeting: the case plays it itself
//	anonymous                    stop before the login
//	pool 50001-50001             public ports
//	set KEY VALUE                one key of the rule, or what the server is like, see set
//
// Then the steps, in order:
//
//	C> text      the client sends the line and CRLF    C>> text   the bytes as they are, with Go's escapes
//	S> text      the server sends                      S>> text
//	C< text      the client gets the line and CRLF     C<< text   it gets just these bytes
//	S< text      the server gets                       S<< text
//	C< *text*    ... a line that contains the text
//	C< -         nothing has come                      S< -
//	C< EOF       the connection has been closed        S< EOF
//	C> EOF       it closes its side                    S> EOF
//	C> RESET     it resets the connection              S> RESET
//	{40*text}    within a text: 40 times the text
//	client 2 ADDRESS:PORT        the steps from here on are of the second connection, which is made when it is new;
//	             the address is the scene's unless it is given
//	hole TEXT    just this pinhole is open, as Pinhole.String says it; "hole -": none
//	opened N     so many pinholes have been opened since the beginning
//	lent N       so many public ports are lent now
//	connected N  the data connection comes by the open pinhole and carries N bytes
//	carried N    it has carried N in all by now; "+N": so many more
//	finished     the data connection ends
//	killed       the gateway has cut it;  "killed -": it has not
//	accounts N   so many accounts of transfers are kept
//	account TEXT the newest one, as "RESULT VERB PATH of USER, MODE: N bytes CAUSE image"
//	session TEXT what is told of the only session, see play.session
//	firewall fails | works       what the kernel answers from now on
//	lose ADDRESS | regain ADDRESS   an address of the host goes, or comes again
//	wait 61s     time passes
//	shutdown 5s  the gateway stops with so much grace; does not wait for it
//	log TEXT     a line of the log contains the text;  "log ! TEXT": none does
//	repeat N     the steps until "end" are played so many times
//
// At the end of each case everything must have been given back: pinholes,
// ports, watched data connections.
func TestDialogues(t *testing.T) {
	for _, c := range allDialogues(t) {
		t.Run(strings.TrimSuffix(filepath.Base(c.file), ".txt")+"/"+c.title, func(t *testing.T) {
			// The bubble's clock stands still while a goroutine is busy, so only a
			// clock outside of it can notice one that never rests.
			alarm := time.AfterFunc(caseTime, func() { panic(fmt.Sprintf("%s: %s: the gateway is busy without end", c.file, c.title)) })
			defer alarm.Stop()
			synctest.Test(t, c.run)
		})
	}
}

// caseTime is how long a case may take on a slow machine; most take 10 ms.
const caseTime = time.Minute

type dialogue struct {
	file, id, title string
	steps           []step
}

type step struct {
	line      int
	verb, arg string
}

func allDialogues(t *testing.T) (cases []*dialogue) {
	files, err := filepath.Glob("testdata/dialogues/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no dialogues: ", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		cases = append(cases, casesOf(t, file, string(text))...)
	}
	return cases
}

func casesOf(t *testing.T, file, text string) (cases []*dialogue) {
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "== "):
			id, _, _ := strings.Cut(line[3:], " ")
			cases = append(cases, &dialogue{file: file, id: id, title: line[3:]})
		case len(cases) == 0:
			t.Fatalf("%s:%d: a step before the first case", file, i+1)
		default:
			verb, arg, _ := strings.Cut(line, " ")
			c := cases[len(cases)-1]
			c.steps = append(c.steps, step{i + 1, verb, arg})
		}
	}
	for _, c := range cases {
		if len(c.steps) == 0 {
			t.Fatalf("%s: %s: a case without steps", file, c.title)
		}
		c.steps = unroll(t, c)
	}
	return cases
}

// unroll writes out what is to be repeated.
func unroll(t *testing.T, c *dialogue) (steps []step) {
	type loop struct{ from, times int }
	var loops []loop
	for _, s := range c.steps {
		switch s.verb {
		case "repeat":
			times, err := strconv.Atoi(s.arg)
			if err != nil {
				t.Fatalf("%s:%d: %v", c.file, s.line, err)
			}
			loops = append(loops, loop{len(steps), times})
		case "end":
			if len(loops) == 0 {
				t.Fatalf("%s:%d: an end without a repeat", c.file, s.line)
			}
			last := loops[len(loops)-1]
			loops = loops[:len(loops)-1]
			steps = append(steps[:last.from], slices.Repeat(slices.Clone(steps[last.from:]), last.times)...)
		default:
			steps = append(steps, s)
		}
	}
	if len(loops) > 0 {
		t.Fatalf("%s: %s: a repeat without an end", c.file, c.title)
	}
	return steps
}

// run plays a case; it is called in a bubble of synctest.
func (c *dialogue) run(t *testing.T) {
	p := &play{T: t, file: c.file}
	steps := p.setup(c.steps)
	defer p.lab.stop()
	for _, s := range steps {
		p.where = s
		p.step(s)
	}
	for _, pair := range p.pairs {
		pair.client.Close()
		if pair.server != nil {
			pair.server.Close()
		}
	}
}
