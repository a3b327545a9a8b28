//go:build kernel

package page_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/ftpgate/ftpgate/deploy/lab/browser"
)

// patience is how long the page may take to show something, on a machine that has much to do.
const patience = 30 * time.Second

// open shows a gateway's page, and waits until all of it is there.
func open(t *testing.T, g *gateway, o browser.Options) *browser.Page {
	t.Helper()
	// The test's own context ends before its cleanup, and Chromium is to be closed, not killed.
	p, err := browser.Open(context.WithoutCancel(t.Context()), g.URL, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, there := range []string{"#sessions tbody tr", "#failures li", "#pinholes tbody tr", "#transfers tbody tr", "#interfaces tr", "#plot-bytes path"} {
		await(t, p, "document.querySelector('"+there+"')")
	}
	return p
}

func await(t *testing.T, p *browser.Page, expression string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.Wait(ctx, expression); err != nil {
		t.Fatal(err)
	}
}

func eval[T any](t *testing.T, p *browser.Page, expression string) (value T) {
	t.Helper()
	if err := p.Eval(expression, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// shows fails unless an element's visible text has all of the words.
func shows(t *testing.T, p *browser.Page, selector string, words ...string) {
	t.Helper()
	text, err := p.Text(selector)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s does not show %q; it shows:\n%s", selector, w, text)
		}
	}
}

// clean fails if the page complained, or asked anybody else.
func clean(t *testing.T, g *gateway, p *browser.Page) {
	t.Helper()
	for _, problem := range p.Problems() {
		t.Error(problem)
	}
	ours, err := url.Parse(g.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range p.Requests() {
		if u, err := url.Parse(r); err != nil || u.Host != ours.Host {
			t.Errorf("the page asked for %s", r)
		}
	}
	if n := g.strangers.Load(); n != 0 {
		t.Errorf("%d requests were for files that are not there", n)
	}
}

// picture keeps a screenshot if the environment says where.
func picture(t *testing.T, p *browser.Page, name string) {
	t.Helper()
	if dir := os.Getenv("FTPGATE_TEST_SCREENSHOTS"); dir != "" {
		if err := p.Screenshot(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestPageTells(t *testing.T) {
	g := newGateway(t, 0, false)
	p := open(t, g, browser.Options{Width: 1440, Height: 900})
	shows(t, p, "header", "v0.4.0", "Ready", "3 d 4 h", "nftables")
	shows(t, p, "#problems", "Cure: sysctl -w net.netfilter.nf_conntrack_tcp_loose=0")
	shows(t, p, "#sessions", "anna", "192.168.50.10:41022", "→ 203.0.113.80:21 · lan0", "198.51.100.20:5125", "RETR /pub/debian",
		"download, passive", "TLS", "not connected yet", "1,882 transfers")
	shows(t, p, "#failures", sentence, "never connected", "scanner", noRule, "no rule", "connection to 198.51.100.20:21", "203.0.113.66 · 1,204 times")
	shows(t, p, "#pinholes", "198.51.100.20:50217", "port 20 only", "203.0.113.80:40112", "waiting", soFar, "used", "admits nobody any more")
	shows(t, p, "#transfers", "226 Transfer complete.", "invoices/2026-11/44192.pdf", "425 Failed")
	shows(t, p, "#host", "lan0", "fd50::1", "down", "ftp.example.org", "9,120 begun", "1 time something removed rules", "231,774 opened")
	if first := eval[string](t, p, "document.querySelector('#sessions tbody tr:nth-child(2) .name').textContent"); first != "upload@example.org" {
		t.Errorf("the second session is %q, not the other one with a running transfer", first)
	}
	label := eval[string](t, p, "document.querySelector('#plot-bytes svg').getAttribute('aria-label')")
	if !strings.HasPrefix(label, "Throughput over the last 15 minutes. data: now ") || !strings.Contains(label, "MB/s") {
		t.Errorf("the plot's text alternative is %q", label)
	}
	// The fake carries 25 MB/s; what the page makes of two answers may be off by the time that they took.
	await(t, p, "/· 2[2-8]\\.\\d MB\\/s ·/.test(document.querySelector('#sessions tbody tr').textContent)")
	picture(t, p, "light.png")
	clean(t, g, p)
}

func TestPageTakesHostileTextAsText(t *testing.T) {
	g := newGateway(t, 0, false)
	p := open(t, g, browser.Options{})
	// What turns the direction of writing is shown, so that no name can look like another.
	path := strings.ReplaceAll(hostilePath, "\u202e", `\u{202e}`)
	shows(t, p, "#sessions", hostileUser, path)
	shows(t, p, "#failures", hostileUser, path)
	if n := eval[int](t, p, "document.querySelectorAll('main script, main img, main [onerror]').length"); n != 0 {
		t.Errorf("%d elements were made of what clients sent", n)
	}
	if title := eval[string](t, p, "document.title"); title != "ftpgate" {
		t.Errorf("the title is %q", title)
	}
	clean(t, g, p)
}

func TestPageObeysTheKeyboard(t *testing.T) {
	g := newGateway(t, 0, false)
	p := open(t, g, browser.Options{})
	focused := func() string {
		return eval[string](t, p, "document.activeElement.id || document.activeElement.className || document.activeElement.tagName")
	}
	press := func(keys string) {
		t.Helper()
		if err := p.Type(keys); err != nil {
			t.Fatal(err)
		}
	}
	press(kb.Tab)
	if at := focused(); at != "skip" {
		t.Errorf("the first stop is %q, not the link over the head", at)
	}
	for range 20 {
		if focused() == "filter" {
			break
		}
		press(kb.Tab)
		if !eval[bool](t, p, "document.activeElement.matches(':focus-visible') && getComputedStyle(document.activeElement).outlineStyle === 'solid'") {
			t.Errorf("the focus at %s cannot be seen", focused())
		}
	}
	if at := focused(); at != "filter" {
		t.Fatalf("the tabulator does not reach the filter, but %q", at)
	}
	press("SCANNER lan0")
	await(t, p, "document.querySelectorAll('#sessions tbody tr').length === 1")
	shows(t, p, "#sessions", "scanner", "1 of 7 match")
	shows(t, p, "#filter-said", "1 of 7 match")
	press(kb.Tab + kb.Enter)
	await(t, p, "document.querySelector('#failures details').open")
	shows(t, p, "#failures", "the pinhole expired unused after 15s", "Last reply", "425 Failed to establish connection.")
	// Two more answers must leave alone what the reader has unfolded, and where the focus is.
	g.awaitAsked(t, g.asked.Load()+12)
	if !eval[bool](t, p, "document.querySelector('#failures details').open && document.activeElement.tagName === 'SUMMARY'") {
		t.Error("an answer has folded what was unfolded, or moved the focus")
	}
	clean(t, g, p)
}

func TestPageWithThousandsOfSessions(t *testing.T) {
	const many = 4000
	g := newGateway(t, many, false)
	p := open(t, g, browser.Options{})
	shows(t, p, "#sessions-note", "4,007", "the first 100 are shown")
	if rows := eval[int](t, p, "document.querySelectorAll('#sessions tbody tr').length"); rows != 100 {
		t.Errorf("%d rows", rows)
	}
	shows(t, p, "#sessions tbody tr", "anna") // those with a transfer stay in front
	if err := p.Eval("document.querySelector('#filter').focus()", nil); err != nil {
		t.Fatal(err)
	}
	if err := p.Type("robot3999"); err != nil {
		t.Fatal(err)
	}
	await(t, p, "document.querySelectorAll('#sessions tbody tr').length === 1")
	shows(t, p, "#sessions", "robot3999", "1 of 4,007 match")
	clean(t, g, p)
}

func TestPageSaysThatNobodyAnswers(t *testing.T) {
	g := newGateway(t, 0, false)
	p := open(t, g, browser.Options{})
	if hidden := eval[bool](t, p, "document.querySelector('#notice').hidden"); !hidden {
		t.Error("there is a notice while all is well")
	}
	clean(t, g, p)
	g.CloseClientConnections()
	g.Close()
	await(t, p, "!document.querySelector('#notice').hidden")
	shows(t, p, "#notice", "ftpgate does not answer since ", "The page keeps asking.")
	shows(t, p, "header", "No answer")
	shows(t, p, "#sessions", "anna") // what was known stays
	if title := eval[string](t, p, "document.title"); title != "No answer – ftpgate" {
		t.Errorf("the title is %q", title)
	}
	picture(t, p, "silent.png")
}

func TestPageSaysWhatIsNotAnswered(t *testing.T) {
	g := newGateway(t, 0, false)
	p := open(t, g, browser.Options{})
	for _, c := range []struct {
		part string
		code int64
		says string
	}{
		{"sessions", http.StatusInternalServerError, "ftpgate answers, but not on sessions (500 Internal Server Error)."},
		{"status", http.StatusUnauthorized, "ftpgate does not let this browser in (401)."},
	} {
		g.refusal.Store(c.code)
		g.broken.Store(c.part)
		await(t, p, "!document.querySelector('#notice').hidden")
		shows(t, p, "#notice", c.says)
		g.broken.Store("")
		await(t, p, "document.querySelector('#notice').hidden")
	}
}

func TestPagePauses(t *testing.T) {
	g := newGateway(t, 0, false)
	p := open(t, g, browser.Options{})
	hide := func(hidden string) string {
		return "Object.defineProperty(document, 'hidden', {configurable: true, value: " + hidden + "}) && document.dispatchEvent(new Event('visibilitychange'))"
	}
	press := "document.querySelector('#pause').click()"
	for _, c := range []struct{ name, stop, resume string }{{"paused", press, press}, {"hidden", hide("true"), hide("false")}} {
		if err := p.Eval(c.stop, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // what was on its way arrives
		before := g.asked.Load()
		time.Sleep(3 * time.Second) // longer than the two seconds between answers
		if after := g.asked.Load(); after != before {
			t.Errorf("a %s page asked %d times", c.name, after-before)
		}
		if err := p.Eval(c.resume, nil); err != nil {
			t.Fatal(err)
		}
		g.awaitAsked(t, before+12)
	}
	clean(t, g, p)
}
