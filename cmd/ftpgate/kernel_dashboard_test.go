//go:build kernel

package main

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/browser"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
	"github.com/ftpgate/ftpgate/deploy/lab/traffic"
	"github.com/ftpgate/ftpgate/proxy/status"
)

// serveDirectory makes the test an FTP server of the directory in this variable:
// one that admits any user, on a host of the lab.
const serveDirectory = "FTPGATE_TEST_SERVE"

// serveOnly is that server. It ends by being killed.
func serveOnly(root string) {
	err := peers.ServeEmbedded(context.Background(), netip.MustParseAddrPort("[::]:21"), peers.EmbeddedOptions{
		Root: root, AnyUser: true, Ready: func() { fmt.Println("serving") },
	})
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// anyUser starts one.
func (r *router) anyUser(host string) (root string) {
	r.t.Helper()
	root = r.t.TempDir()
	p, err := r.Host(host).StartWith(lab.StartOptions{Env: []string{serveDirectory + "=" + root}}, os.Args[0])
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	if err := p.WaitOutput(ctx, "serving"); err != nil {
		r.t.Fatal(err)
	}
	return root
}

// TestDashboard: what happens is seen in a browser while it happens: sessions
// with both legs, running transfers and their rate, waiting pinholes, failures
// with their diagnosis, the plots.
func TestDashboard(t *testing.T) {
	r := newRouter(t, lab.Options{})
	places := traffic.Places{Lab: r.Lab, Outside: netip.MustParseAddrPort("203.0.113.20:21"), Public: netip.MustParseAddrPort("203.0.113.1:21"),
		OutsideRoot: r.anyUser(lab.Outside), ServerRoot: r.anyUser(lab.Server)}
	if err := places.Prepare(); err != nil {
		t.Fatal(err)
	}
	r.start(strings.NewReplacer("name: out,", "name: office,", "name: in,", "name: published,").Replace(fmt.Sprintf(usualRules, "", "")) +
		"firewall: {pinhole_timeout: 8s}\n")
	ctx, stop := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		places.Run(ctx)
	}()
	defer func() { stop(); <-gone }()

	page, err := browser.Open(context.WithoutCancel(t.Context()), "http://"+endpoint+"/",
		browser.Options{Width: 1280, Height: 800, Namespace: r.Host(lab.Router).Namespace})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := page.Close(); err != nil {
			t.Error(err)
		}
	}()
	shows := func(selector string, words ...string) {
		t.Helper()
		var text string
		for _, w := range words {
			eventually(t, fmt.Sprintf("%q in %s, which shows %q", w, selector, text), func() bool {
				var err error
				if text, err = page.Text(selector); err != nil {
					t.Fatal(err)
				}
				return strings.Contains(text, w)
			})
		}
	}
	shows("header", "Ready", "Backend")
	shows("#sessions", "anna", "RETR debian-13.2.0-amd64-netinst.iso", "download, passive", "MB/s", "acme", "203.0.113.20:", "192.168.50.10:", "lan0", "wan0")
	shows("#pinholes", "waiting", "203.0.113.20", "203.0.113.1:", "No SYN has come so far: the client's, from 203.0.113.20 to 203.0.113.1:")
	shows("#failures", "behind-a-firewall", "The client never connected: a SYN from 203.0.113.20 to 203.0.113.1:", "never connected",
		"The client announced an address that is not its own", "oldclient", `The server answered "550`)
	shows("#transfers", "mirror", "226 ")
	shows("#host", "office", "published", "203.0.113.1/24", "up")
	ended := context.WithoutCancel(t.Context())
	for _, plot := range []string{"#plot-bytes", "#plot-sessions", "#plot-files"} {
		if err := page.Wait(ended, "document.querySelector('"+plot+" svg path')?.getAttribute('d')?.length > 20"); err != nil {
			t.Errorf("%s: %v", plot, err)
		}
	}
	if path := os.Getenv("FTPGATE_TEST_SCREENSHOT"); path != "" {
		r.picture(t, page, path)
	}
	for _, problem := range page.Problems() {
		t.Error(problem)
	}
	for _, asked := range page.Requests() {
		if u, err := url.Parse(asked); err != nil || u.Host != endpoint {
			t.Errorf("the page asked for %s", asked)
		}
	}
	r.stop()
	shows("#notice", "ftpgate does not answer")
}

// picture waits until the plots have a past of five minutes, and keeps what the
// page looks like then.
func (r *router) picture(t *testing.T, page *browser.Page, path string) {
	t.Helper()
	for len(read[status.HistoryJSON](t, r, "/api/v1/history").Samples) < 60 {
		time.Sleep(time.Second)
	}
	whole := filepath.Join(t.TempDir(), "whole.png")
	if err := page.Screenshot(whole); err != nil {
		t.Fatal(err)
	}
	if err := top(whole, path, 1500); err != nil {
		t.Fatal(err)
	}
}

// top keeps the upper part of a picture, in pixels.
func top(from, to string, height int) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	whole, err := png.Decode(in)
	if err != nil {
		return err
	}
	part, ok := whole.(interface {
		SubImage(image.Rectangle) image.Image
	})
	if !ok {
		return fmt.Errorf("%s cannot be cut", from)
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(out, part.SubImage(image.Rect(0, 0, whole.Bounds().Dx(), height))); err != nil {
		return err
	}
	return out.Close()
}
