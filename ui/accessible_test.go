package ui

import (
	"fmt"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/chromedp/chromedp"

	"dragonfly/ui/uitest"
)

// Everybody can use the pages, on a phone and on a desk, by day and by night:
// names for screen readers, contrast (AA), and the rest of what axe checks.
func TestBrowserAccessible(t *testing.T) {
	axe, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatalf("axe-core is not installed: run npm ci in ui/ (%v)", err)
	}
	k := newRack(8)
	server := httptest.NewServer(newUI(t, k, func(c *Config) {
		c.Sessions = &desk{}
		c.Problems = func() []string { return []string{"agent image not built: run dragonfly image build"} }
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	empty := httptest.NewServer(newUI(t, newRack(0)))
	t.Cleanup(empty.Close)
	t.Cleanup(empty.CloseClientConnections)
	reference := httptest.NewServer(described(t))
	t.Cleanup(reference.Close)
	t.Cleanup(reference.CloseClientConnections)
	w := uitest.New(t)
	for _, theme := range []string{"light", "dark"} {
		for _, width := range []int64{360, 1440} {
			for _, page := range []string{server.URL + "/machines", empty.URL + "/machines", empty.URL + "/login", empty.URL + "/nothing", reference.URL + "/docs"} {
				w.Do(uitest.Media("prefers-color-scheme", theme, "prefers-reduced-motion", "reduce"),
					chromedp.EmulateViewport(width, 900), chromedp.Navigate(page))
				w.Wait(fmt.Sprintf("document.documentElement.dataset.bsTheme === %q", theme))
				w.Accessible(string(axe), page+", "+theme, width)
			}
		}
	}
}

// Nothing is wider than the smallest phone and nothing to press is too small
// for a thumb.
func TestBrowserPhone(t *testing.T) {
	server := httptest.NewServer(newUI(t, newRack(120)))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	w := uitest.New(t)
	w.Do(chromedp.EmulateViewport(360, 740), chromedp.Navigate(server.URL+"/machines"))
	w.Says(".pulse", "Live")
	w.Wait("document.documentElement.scrollWidth <= 360")
	small, err := chromedp.Run(w.Context, chromedp.Evaluate[string](`[...document.querySelectorAll("main a, button")]
		.filter((e) => e.checkVisibility() && (e.getBoundingClientRect().width < 44 || e.getBoundingClientRect().height < 44))
		.map((e) => e.outerHTML).join("\n")`))
	if err != nil {
		t.Fatal(err)
	}
	if small != "" {
		t.Errorf("too small for a thumb:\n%s", small)
	}
}
