package main

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"dragonfly/registry"
	"dragonfly/ui/uitest"
)

// Of more than a thousand machines the one that is wanted is found: filtered while one
// types, sorted and paged, and the page is up to date after the server was started anew
// under it.
func TestThousandsInBrowser(t *testing.T) {
	r := start(t, testConfig(t))
	client := r.client()
	const many = 1200
	for from := 0; from < many; from += registry.MaxImport {
		var items []registry.ImportItem
		for i := from; i < min(many, from+registry.MaxImport); i++ {
			items = append(items, registry.ImportItem{Listed: registry.Listed{Name: fmt.Sprintf("n%04d", i), MACs: []registry.MAC{{2, 0, 0, 9, byte(i >> 8), byte(i)}}, Labels: map[string]string{"rack": fmt.Sprint("r", i/40)}}})
		}
		if reply, err := client.Import(t.Context(), items, false); err != nil || reply.Refused > 0 {
			t.Fatalf("%+v, %v", reply.Refused, err)
		}
	}
	w := uitest.New(t)
	w.Do(chromedp.EmulateViewport(1440, 900), chromedp.Navigate(r.url+"/machines"), chromedp.WaitVisible(chromedp.CSS(".machines")))
	w.Says(".pager", "1–50 of 1,200")
	w.Do(chromedp.Click(chromedp.CSS("[rel=next]")), chromedp.WaitVisible(chromedp.CSS("[rel=prev]")))
	w.Says(".pager", "51–100 of 1,200")
	w.Do(chromedp.Navigate(r.url+"/machines?q=label.rack:r7"), chromedp.Click(chromedp.CSS("th[aria-sort] a")), chromedp.WaitVisible(chromedp.CSS("th[aria-sort=descending]")))
	counts(w, ".machines tbody tr", 40)
	w.Says(".machines tbody tr", "n0319")
	w.Do(chromedp.Navigate(r.url+"/machines"), chromedp.WaitVisible(chromedp.CSS(".machines")), chromedp.SendKeys(chromedp.CSS("#q"), "n1100"))
	counts(w, ".machines tbody tr", 1)
	w.Says(".pulse", "Live")
	w.Eval("window.mark = 1") // gone after a reload

	r.end(t)
	again := start(t, r.cfg)
	t.Cleanup(func() { again.end(t) })
	again.run(t, "", "machine", "tag", "n1100", "after-the-restart")
	w.Says(".pulse", "Live")
	again.run(t, "", "machine", "edit", "n1100", "--name", "x1100")
	w.Says("#list", "No machine matches")
	w.Wait("window.mark === 1")
}
