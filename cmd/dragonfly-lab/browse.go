package main

import (
	"context"
	"fmt"
	"time"

	"github.com/chromedp/chromedp"

	"dragonfly/ui/uitest"
)

// The promises to whoever looks at the list in a browser.
const (
	paintLimit  = 500 * time.Millisecond // from asking for the page to its first content
	filterLimit = 150 * time.Millisecond // from the last key to the rows that match
	browsed     = 20                     // times each
)

// browser measures the list in a real browser on the loopback address.
func (b *bench) browser(ctx context.Context, s *subject) error {
	chromium, err := uitest.Start(ctx)
	if err != nil {
		return err
	}
	defer chromium.End()
	window, cancel := chromedp.NewContext(chromium.Context, chromedp.WithNewBrowserContext())
	defer cancel()
	if err := s.lend(window); err != nil {
		return err
	}
	for _, figure := range []struct {
		name  string
		limit time.Duration
		once  func(context.Context, *subject) (float64, error)
	}{
		{"browser: list, first contentful paint", paintLimit, b.paint},
		{"browser: list, from a key in the filter to new rows", filterLimit, b.narrow},
	} {
		var took []time.Duration
		for i := range browsed + 1 {
			ms, err := figure.once(window, s)
			if err != nil {
				return fmt.Errorf("%s: %w", figure.name, err)
			}
			if i > 0 { // the first fills the browser's cache
				took = append(took, time.Duration(ms*float64(time.Millisecond)))
			}
		}
		p95 := milliseconds(percentile(took, 95))
		f := plain(figure.name, p95, milliseconds(figure.limit), "ms")
		f.Measured = fmt.Sprintf("p95 %.1f ms (median %.1f, max %.1f, n %d)", p95, milliseconds(percentile(took, 50)), milliseconds(percentile(took, 100)), len(took))
		b.add(f)
	}
	return nil
}

// paint opens the list, and returns what the browser says of its first paint.
func (b *bench) paint(window context.Context, s *subject) (float64, error) {
	if err := chromedp.Do(window, chromedp.Navigate("about:blank"), chromedp.Navigate(s.url+"/machines")); err != nil {
		return 0, err
	}
	return chromedp.Run(window, chromedp.Evaluate[float64](`new Promise((done) => new PerformanceObserver((list) =>
		list.getEntriesByName("first-contentful-paint").forEach((e) => done(e.startTime))).observe({type: "paint", buffered: true}))`, chromedp.EvalAwaitPromise))
}

// narrow types the last character of the name of a machine, and waits for its row alone.
func (b *bench) narrow(window context.Context, s *subject) (float64, error) {
	name := b.any().Name
	if err := chromedp.Do(window, chromedp.Navigate(s.url+"/machines"), chromedp.WaitVisible(chromedp.CSS(".machines"))); err != nil {
		return 0, err
	}
	return chromedp.Run(window, chromedp.Evaluate[float64](fmt.Sprintf(typed, name, name), chromedp.EvalAwaitPromise))
}

// typed puts a filter into the box as a key does, and says after how many milliseconds
// every row that is shown matches it.
const typed = `new Promise((done) => {
	const box = document.querySelector("#q"), began = performance.now();
	const look = () => {
		const rows = [...document.querySelectorAll(".machines tbody tr")];
		if (rows.length && rows.every((r) => r.textContent.includes(%q))) return done(performance.now() - began);
		requestAnimationFrame(look);
	};
	box.value = %q;
	box.dispatchEvent(new Event("input", {bubbles: true}));
	look();
})`
