package main

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"dragonfly/registry/api"
	"dragonfly/ui/uitest"
)

// onOneLine is a script that reports whether a text stands in an element unbroken.
const onOneLine = `(() => {
	const texts = document.createTreeWalker(document.querySelector(%[2]q), NodeFilter.SHOW_TEXT);
	while (texts.nextNode()) {
		const at = texts.currentNode.data.indexOf(%[1]q);
		if (at < 0) continue;
		const range = document.createRange();
		range.setStart(texts.currentNode, at);
		range.setEnd(texts.currentNode, at + %[1]q.length);
		return new Set([...range.getClientRects()].map((r) => r.top)).size === 1;
	}
	return false;
})()`

// On a phone a title breaks beside a name and not at its hyphens; a name that no line
// holds is broken all the same.
func TestTitlesInBrowser(t *testing.T) {
	f := newOffice(t)
	w := uitest.New(t)
	w.Do(chromedp.EmulateViewport(360, 740))
	call := func(name string) {
		if _, err := f.Edit(t.Context(), f.m.ID, api.PatchRequest{Name: &name}); err != nil {
			t.Fatal(err)
		}
	}
	pages := []string{"", "/edit", "/deploy", "/once", "/end/delete"}
	call("brisk-otter-cellar-17")
	for _, page := range pages {
		w.Do(chromedp.Navigate(f.url + "/machines/" + f.m.ID + page))
		w.Wait(fmt.Sprintf(onOneLine, "brisk-otter-cellar-17", "h1"))
		w.Wait(`/(^|\s)brisk-otter-cellar-17/.test(document.querySelector("h1").innerText)`)
	}
	call("brisk-otter-of-the-third-rack-in-the-cellar-by-the-boiler-17")
	for _, page := range pages {
		w.Do(chromedp.Navigate(f.url + "/machines/" + f.m.ID + page))
		w.Wait(`document.querySelector("h1") && document.documentElement.scrollWidth <= innerWidth`)
	}
	w.Do(chromedp.EmulateViewport(1440, 900)) // where the button that would do it is no wider than what asks
	w.Wait(`(() => {
		const button = document.querySelector(".ask .btn-danger");
		return button.scrollWidth <= button.clientWidth && button.offsetWidth < button.closest(".ask").clientWidth;
	})()`)
}

// A flag of the command line is not broken at its dashes, however wide the page is.
func TestFlagsInBrowser(t *testing.T) {
	f := newOffice(t)
	w := uitest.New(t)
	w.Do(chromedp.Navigate(f.url + "/health"))
	for width := int64(320); width <= 480; width += 8 {
		w.Do(chromedp.EmulateViewport(width, 740))
		w.Wait(fmt.Sprintf(onOneLine, "--boot", "#health"))
		w.Wait(fmt.Sprintf(onOneLine, "--kubeconfig", "#health"))
	}
}

// On a phone what copies a long value stays inside of its card.
func TestLongValueInBrowser(t *testing.T) {
	f := newOffice(t)
	w := uitest.New(t)
	w.Do(chromedp.EmulateViewport(360, 740), chromedp.Navigate(f.url+"/machines/"+f.m.ID))
	w.Eval(`document.querySelector(".facts dd > code").textContent = "node-131073.ams1.rack17.example.net"`)
	w.Wait(`(() => {
		const button = document.querySelector(".facts dd > .copy");
		return button.getBoundingClientRect().right <= button.closest(".card").getBoundingClientRect().right;
	})()`)
}
