//go:build kernel

package browser_test

import (
	"context"
	"image/png"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/browser"
)

// testTimeout bounds each test of this package.
const testTimeout = 2 * time.Minute

const document = `<!DOCTYPE html><title>seen</title><meta name="viewport" content="width=device-width">
<link rel="icon" href="/icon"><style>p { color: black } @media (prefers-color-scheme: dark) { p { color: white } }</style>
<p id="text">read <b>me</b> <span hidden>and not me</span></p><input id="field">
<script>
console.log("harmless"); console.error("complaint", 7); fetch("/missing");
setTimeout(() => { undefined.thing }, 0);
setTimeout(() => { document.body.dataset.late = "yes" }, 300);
</script>`

// serve shows the document on a listener.
func serve(t *testing.T, listener net.Listener) {
	t.Helper()
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Type", "text/html")
			w.Write([]byte(document))
		case "/icon":
			w.WriteHeader(http.StatusNoContent)
		default:
			http.NotFound(w, r)
		}
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
}

func open(t *testing.T, ctx context.Context, url string, o browser.Options) *browser.Page {
	t.Helper()
	p, err := browser.Open(ctx, url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func newContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

func TestPageIsSeen(t *testing.T) {
	ctx := newContext(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, listener)
	url := "http://" + listener.Addr().String() + "/"
	p := open(t, ctx, url, browser.Options{Width: 320, Height: 500, Scale: 2, Dark: true})

	if text, err := p.Text("#text"); err != nil || text != "read me" {
		t.Errorf("the text is %q, error %v", text, err)
	}
	if _, err := p.Text("#absent"); err == nil || !strings.Contains(err.Error(), "#absent") {
		t.Errorf("the text of nothing: error %v", err)
	}
	if err := p.Wait(ctx, "document.body.dataset.late === 'yes'"); err != nil {
		t.Error(err)
	}
	soon, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if err := p.Wait(soon, "false"); err == nil {
		t.Error("waiting for what never comes has no error")
	}
	var seen struct {
		Width, Height int
		Scale         float64
		Colour, Value string
	}
	if err := p.Eval("document.querySelector('#field').focus()", nil); err != nil {
		t.Error(err)
	}
	if err := p.Type("Typed"); err != nil {
		t.Error(err)
	}
	if err := p.Eval(`Promise.resolve({width: innerWidth, height: innerHeight, scale: devicePixelRatio,
		colour: getComputedStyle(document.querySelector('p')).color, value: document.querySelector('#field').value})`, &seen); err != nil {
		t.Error(err)
	}
	if seen.Width != 320 || seen.Height != 500 || seen.Scale != 2 || seen.Colour != "rgb(255, 255, 255)" || seen.Value != "Typed" {
		t.Errorf("the page sees %+v", seen)
	}
	if err := p.Eval("nobody.knows", nil); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("an exception is no error: %v", err)
	}
	requestsAndProblems(t, p, url)
	screenshot(t, p, 640)
}

func requestsAndProblems(t *testing.T, p *browser.Page, url string) {
	t.Helper()
	if requests := p.Requests(); len(requests) == 0 || requests[0] != url || !slices.Contains(requests, url+"missing") {
		t.Errorf("the page's requests are %q", requests)
	}
	problems := strings.Join(p.Problems(), "\n")
	for _, problem := range []string{`console.error: "complaint" 7`, "exception: Uncaught TypeError", "404 (Not Found) " + url + "missing"} {
		if !strings.Contains(problems, problem) {
			t.Errorf("the problems lack %q:\n%s", problem, problems)
		}
	}
	if strings.Contains(problems, "harmless") {
		t.Errorf("what is no problem is among them:\n%s", problems)
	}
}

func screenshot(t *testing.T, p *browser.Page, width int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page.png")
	if err := p.Screenshot(path); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	picture, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := picture.Bounds().Dx(); got != width {
		t.Errorf("the picture is %d pixels wide, not %d", got, width)
	}
}

// TestPageOfAnotherNamespace reads a page that stands on a router's loopback, where only the router's programs get.
func TestPageOfAnotherNamespace(t *testing.T) {
	ctx := newContext(t)
	l, err := lab.New(ctx, lab.Options{Name: "browser"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("closing the lab: %v", err)
		}
	})
	router := l.Host(lab.Router)
	listener, err := router.Listen(ctx, netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	serve(t, listener)
	url := "http://" + listener.Addr().String() + "/"
	p := open(t, ctx, url, browser.Options{Namespace: router.Namespace})
	if text, err := p.Text("#text"); err != nil || text != "read me" {
		t.Errorf("the text is %q, error %v", text, err)
	}
	if p, err := browser.Open(ctx, url, browser.Options{}); err == nil {
		t.Errorf("the page is there in the test's own namespace: %v", p.Close())
	} else if !strings.Contains(err.Error(), "ERR_CONNECTION_REFUSED") {
		t.Errorf("it is not there, but for another reason: %v", err)
	}
}

func TestOpenInNoNamespace(t *testing.T) {
	ctx := newContext(t)
	if p, err := browser.Open(ctx, "about:blank", browser.Options{Namespace: "browser-none"}); err == nil {
		t.Errorf("a namespace that is not there was entered: %v", p.Close())
	}
}
