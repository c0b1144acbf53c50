package ui

import (
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp"

	"dragonfly/ui/uitest"
)

// Everybody can use the pages, on a phone and on a desk, by day and by night:
// names for screen readers, contrast (AA), and the rest of what axe checks.
func TestBrowserAccessible(t *testing.T) {
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
	w.Accessible(server.URL+"/machines", empty.URL+"/machines", empty.URL+"/login", empty.URL+"/nothing", reference.URL+"/docs")
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
