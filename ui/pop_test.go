package ui

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"dragonfly/registry"
	"dragonfly/ui/uitest"
)

// What has popped up is closed by Escape and by pressing elsewhere, not by what is in it.
func TestBrowserPops(t *testing.T) {
	server := httptest.NewServer(newUI(t, newRack(3)))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	w := uitest.New(t)
	w.Do(chromedp.EmulateViewport(1440, 900), chromedp.Navigate(server.URL+"/machines"))
	w.Says(".pulse", "Live")
	const open = "document.querySelector('.help').open"
	w.Do(chromedp.Click(chromedp.CSS(".help summary")))
	w.Wait(open)
	w.Do(chromedp.KeyEvent(kb.Escape))
	w.Wait("!" + open)
	w.Do(chromedp.Click(chromedp.CSS(".help summary")), chromedp.Click(chromedp.CSS("#language")))
	w.Wait(open)
	w.Do(chromedp.Click(chromedp.CSS("h1")))
	w.Wait("!" + open)
	w.Clean(server.URL)
}

// What is wrong with a form has the focus when its page comes, and is in sight.
func TestBrowserFault(t *testing.T) {
	server := httptest.NewServer(newUI(t, newRack(0), func(c *Config) {
		c.Setup = func(context.Context, string, string, string) error { return registry.ErrForbidden }
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	w := uitest.New(t)
	w.Do(chromedp.EmulateViewport(360, 200), chromedp.Navigate(server.URL+"/setup"), chromedp.SetValue(chromedp.CSS("#token"), "CODE"),
		chromedp.SetValue(chromedp.CSS("#name"), "ana"), chromedp.SetValue(chromedp.CSS("#password"), "correct horse battery"),
		chromedp.Click(chromedp.CSS("button.btn-primary")), chromedp.WaitVisible(chromedp.CSS("#why")))
	w.Wait(`document.activeElement.id === "why" && document.activeElement.getBoundingClientRect().bottom <= innerHeight`)
}
