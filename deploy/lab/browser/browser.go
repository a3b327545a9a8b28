// Package browser shows a page in a headless Chromium and lets a test look at it: what it says, what it asked for over
// the network, what it complained about, and how it looks. Chromium is Debian's; install.sh puts it in place.
package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

const (
	// program is Debian's name of it.
	program = "chromium"
	// openTimeout bounds the start of Chromium and the loading of the first page, on a machine that has much to do.
	openTimeout = time.Minute
	// stepTimeout bounds one look at the page.
	stepTimeout = 20 * time.Second
	// lookInterval is how often Wait looks.
	lookInterval = 50 * time.Millisecond
	// closeTimeout is how long Chromium may take to leave before it is killed.
	closeTimeout = 10 * time.Second
	// phoneWidth is the widest screen, in CSS pixels, that is taken for a phone's.
	phoneWidth = 600
)

// Options are the wishes for a window. The zero value is a light desktop.
type Options struct {
	// Width and Height are the inner size in CSS pixels; 0: 1280 and 800. Up to 600 pixels of width the window is a
	// phone's: it obeys the page's viewport element and has a touch screen.
	Width, Height int
	// Scale is how many pixels of a screenshot make a CSS pixel; 0: 1.
	Scale float64
	// Dark is what the page learns of the user's wish for a dark or a light scheme.
	Dark bool
	// Namespace is the network namespace, as `ip netns exec` knows it, that Chromium runs in; "": the caller's. The
	// test needs no way into it: they speak over a pipe.
	Namespace string
}

// Page is a window that shows a page, in a Chromium of its own. Its methods may be called by several goroutines.
type Page struct {
	tab    context.Context
	cancel context.CancelFunc // of the tab
	free   context.CancelFunc // of what started Chromium
	record record
}

// Open starts Chromium and shows the page at url; it returns when the page has loaded. Chromium lives until Close, and
// no longer than ctx.
func Open(ctx context.Context, url string, o Options) (*Page, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		// Root has no sandbox in Chromium, and the labs are root's; what it shows is our own page.
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true),
		// A page's time and colours are not those of whoever runs the test.
		chromedp.Env("TZ=UTC", "LC_ALL=C.UTF-8"),
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) { enter(cmd, o.Namespace) }),
	)
	starting, free := chromedp.NewExecAllocator(ctx, options...)
	tab, cancel := chromedp.NewContext(starting)
	p := &Page{tab: tab, cancel: cancel, free: free}
	if err := p.open(url, o); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", url, err), p.Close())
	}
	return p, nil
}

// enter makes a command one that runs in a network namespace. `ip netns exec` forks nothing and leaves open files open,
// which is how the pipe passes.
func enter(cmd *exec.Cmd, namespace string) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if namespace == "" {
		return
	}
	wrapped := exec.Command("ip", append([]string{"netns", "exec", namespace}, cmd.Args...)...)
	cmd.Path, cmd.Args, cmd.Err = wrapped.Path, wrapped.Args, wrapped.Err
}

// open does what Open promises, within openTimeout.
func (p *Page) open(url string, o Options) error {
	// The context of the first call is Chromium's life, so its timeout cannot be a deadline of that context.
	slow := time.AfterFunc(openTimeout, p.cancel)
	defer slow.Stop()
	if err := chromedp.Listen(p.tab, p.record.event); err != nil {
		return err
	}
	return chromedp.Do(p.tab, screen(o), chromedp.Navigate(url))
}

// screen sets up what the page sees of its window.
func screen(o Options) chromedp.Action[chromedp.Void] {
	if o.Width == 0 {
		o.Width = 1280
	}
	if o.Height == 0 {
		o.Height = 800
	}
	if o.Scale == 0 {
		o.Scale = 1
	}
	viewport := []chromedp.EmulateViewportOption{chromedp.EmulateScale(o.Scale)}
	if o.Width <= phoneWidth {
		viewport = append(viewport, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	scheme := "light"
	if o.Dark {
		scheme = "dark"
	}
	return chromedp.Steps(
		chromedp.EmulateViewport(int64(o.Width), int64(o.Height), viewport...),
		chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
			})
			return err
		}),
	)
}

// Close ends Chromium and removes what it has written.
func (p *Page) Close() error {
	leaving, cancel := context.WithTimeout(p.tab, closeTimeout)
	defer cancel()
	err := chromedp.Cancel(leaving)
	p.cancel()
	p.free()
	if errors.Is(err, context.Canceled) {
		return nil // it was gone before
	}
	return err
}

// Eval evaluates a JavaScript expression, waits for it if it is a promise, and decodes its value from JSON into result;
// nil: nobody wants it. A value that JSON does not have (undefined, a function) is null.
func (p *Page) Eval(expression string, result any) error {
	wrapped := fmt.Sprintf("(async () => JSON.stringify(await (%s)) ?? 'null')()", expression)
	raw, err := run(p, chromedp.Evaluate[string](wrapped, chromedp.EvalAwaitPromise))
	if err != nil {
		return fmt.Errorf("evaluating %s: %w", expression, err)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal([]byte(raw), result); err != nil {
		return fmt.Errorf("decoding the value of %s: %w", expression, err)
	}
	return nil
}

// Wait waits until a JavaScript expression is true, or ctx ends.
func (p *Page) Wait(ctx context.Context, expression string) error {
	for {
		var yes bool
		if err := p.Eval("!!("+expression+")", &yes); err != nil || yes {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", expression, ctx.Err())
		case <-time.After(lookInterval):
		}
	}
}

// Text returns what the first element that a CSS selector finds shows to a reader, hidden parts left out.
func (p *Page) Text(selector string) (string, error) {
	name, err := json.Marshal(selector)
	if err != nil {
		return "", fmt.Errorf("selector %q: %w", selector, err)
	}
	var text *string
	if err := p.Eval("document.querySelector("+string(name)+")?.innerText", &text); err != nil {
		return "", err
	}
	if text == nil {
		return "", fmt.Errorf("the page has no element %s", selector)
	}
	return *text, nil
}

// Type presses keys as a keyboard does, one after the other: characters, and those of package
// github.com/chromedp/chromedp/kb, such as kb.Tab.
func (p *Page) Type(keys string) error {
	if _, err := run(p, chromedp.KeyEvent(keys)); err != nil {
		return fmt.Errorf("typing %q: %w", keys, err)
	}
	return nil
}

// Screenshot writes a PNG of the whole page, as long as it is, to a file.
func (p *Page) Screenshot(path string) error {
	const lossless = 100
	image, err := run(p, chromedp.FullScreenshot(lossless))
	if err == nil {
		err = os.WriteFile(path, image, 0o644)
	}
	if err != nil {
		return fmt.Errorf("taking a screenshot: %w", err)
	}
	return nil
}

// run takes one step within stepTimeout.
func run[T any](p *Page, step chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(p.tab, stepTimeout)
	defer cancel()
	return chromedp.Run(ctx, step)
}
