//go:build kernel

package page_test

import (
	"fmt"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab/browser"
)

func TestPageFitsAPhone(t *testing.T) {
	g := newGateway(t, 0, true)
	for _, width := range []int{360, 768, 1280} {
		p := open(t, g, browser.Options{Width: width, Height: 740})
		if err := p.Eval("document.querySelectorAll('details').forEach(d => d.open = true)", nil); err != nil {
			t.Fatal(err)
		}
		wide := eval[[]string](t, p, fmt.Sprintf(`[...document.querySelectorAll('body *')]
			.filter(e => !e.closest('thead') && e.getBoundingClientRect().right > %d + 0.5)
			.map(e => e.tagName + ' ' + e.id + ' ' + e.textContent.slice(0, 60))`, width))
		if len(wide) != 0 {
			t.Errorf("at %d pixels these do not fit: %q", width, wide)
		}
		if got := eval[int](t, p, "Math.max(document.documentElement.scrollWidth, innerWidth)"); got > width {
			t.Errorf("at %d pixels the page is %d wide", width, got)
		}
		if width == 360 {
			picture(t, p, "phone.png")
		}
		clean(t, g, p)
	}
}

// contrasts lists the texts whose colour is too near to what they stand on (WCAG 2, 1.4.3).
const contrasts = `(() => {
	const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
	const paint = (...colours) => {
		canvas.clearRect(0, 0, 1, 1);
		for (const c of colours) { canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); }
		return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(v => v / 255)
			.map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
	};
	const light = ([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b;
	const poor = [];
	const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (texts.nextNode()) {
		const e = texts.currentNode.parentElement;
		if (!texts.currentNode.data.trim() || !e.checkVisibility()) continue;
		const grounds = [];
		for (let a = e; a; a = a.parentElement) grounds.unshift(getComputedStyle(a).backgroundColor);
		const style = getComputedStyle(e), ground = light(paint(...grounds));
		const ink = light(paint(...grounds, e instanceof SVGElement ? style.fill : style.color));
		const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
		if (ratio < 4.5) poor.push(ratio.toFixed(2) + ' ' + texts.currentNode.data.trim().slice(0, 40));
	}
	return poor;
})()`

func TestPageColours(t *testing.T) {
	g := newGateway(t, 0, true)
	grounds := map[bool]string{}
	for _, dark := range []bool{false, true} {
		p := open(t, g, browser.Options{Width: 1440, Height: 900, Dark: dark})
		if poor := eval[[]string](t, p, contrasts); len(poor) != 0 {
			t.Errorf("dark %v: too little contrast: %q", dark, poor)
		}
		grounds[dark] = eval[string](t, p, "getComputedStyle(document.body).backgroundColor")
		shows(t, p, "#problems", "Not ready", "interface wan1 is down", "no space left on device", "12 records lost", "no buffer space")
		if dark {
			picture(t, p, "dark.png")
		}
		clean(t, g, p)
	}
	if grounds[false] == grounds[true] {
		t.Errorf("light and dark have the same ground, %s", grounds[true])
	}
}
