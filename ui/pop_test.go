package ui

import (
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

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
