package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/chromedp"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/ui/uitest"
)

// The promises to whoever looks at the list in a browser.
const (
	paintLimit  = 500 * time.Millisecond // from asking for the page to its first content
	filterLimit = 150 * time.Millisecond // from the last key to the rows that match
	changeLimit = 150 * time.Millisecond // from the change at the server to the row that says so
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
		once  func(context.Context, context.Context, *subject) (float64, error)
	}{
		{"browser: list, first contentful paint", paintLimit, b.paint},
		{"browser: list, from a key in the filter to new rows", filterLimit, b.narrow},
		{"browser: list, from a change to its row", changeLimit, b.change},
	} {
		var took []time.Duration
		for i := range browsed + 1 {
			ms, err := figure.once(ctx, window, s)
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
func (b *bench) paint(_, window context.Context, s *subject) (float64, error) {
	if err := chromedp.Do(window, chromedp.Navigate("about:blank"), chromedp.Navigate(s.url+"/machines")); err != nil {
		return 0, err
	}
	return chromedp.Run(window, chromedp.Evaluate[float64](`new Promise((done) => new PerformanceObserver((list) =>
		list.getEntriesByName("first-contentful-paint").forEach((e) => done(e.startTime))).observe({type: "paint", buffered: true}))`, chromedp.EvalAwaitPromise))
}

// narrow types the last character of the name of a machine, and waits for its row alone.
func (b *bench) narrow(_, window context.Context, s *subject) (float64, error) {
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

// change writes a note on the first machine of the list, and returns after how long its
// row says so. There is one note, however often a folder is measured in.
func (b *bench) change(ctx, window context.Context, s *subject) (float64, error) {
	open, err := chromedp.Run(window, chromedp.Evaluate[bool](`location.search === "?cols=note"`))
	if err == nil && !open {
		err = chromedp.Do(window, chromedp.Navigate(s.url+"/machines?cols=note"), chromedp.WaitVisible(chromedp.CSS(".machines")), chromedp.Sleep(settle))
	}
	if err != nil {
		return 0, err
	}
	id, err := chromedp.Run(window, chromedp.Evaluate[string](`document.querySelector(".machines tbody tr").id`))
	if err != nil {
		return 0, err
	}
	note := fmt.Sprint("n", time.Now().UnixMilli())
	if _, err := chromedp.Run(window, chromedp.Evaluate[any](fmt.Sprintf(awaited, id, note))); err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := s.client.Edit(ctx, id, api.PatchRequest{Note: &note}); err != nil {
		return 0, err
	}
	at, err := chromedp.Run(window, chromedp.Evaluate[float64]("window.seen", chromedp.EvalAwaitPromise))
	return at - float64(began.UnixMicro())/1000, err
}

// awaited makes a promise of when, in milliseconds of the clock, a row has a text.
const awaited = `window.seen = new Promise((done) => {
	const look = () => document.getElementById(%q)?.textContent.includes(%q) ? done(performance.timeOrigin + performance.now()) : requestAnimationFrame(look);
	look();
}); null`

// What open pages are measured with: each is the first page of the list, and every
// change is one of a machine on it.
const (
	openPages   = 200
	pageChanges = 50  // a second
	openShare   = 1.0 // of one processor core
)

// open measures what open pages cost the server while the machines on them change.
func (b *bench) open(ctx context.Context, s *subject) error {
	few := *b
	few.Rate = pageChanges
	few.fleet = slices.SortedFunc(slices.Values(b.fleet), func(a, o registry.Machine) int { return strings.Compare(a.Name, o.Name) })
	few.fleet = few.fleet[:min(50, len(few.fleet))]
	pages := newAudience(openPages, s.url+"/live?after=0", s.client.Token, 0)
	cost, err := few.costOf(ctx, s, pages)
	if err != nil {
		return err
	}
	frames := pages.total(func(v *viewer) int { return v.events })
	if frames == 0 {
		return errors.New("no page was told of a change")
	}
	name := fmt.Sprintf("UI: %d open pages, %d changes/s: ", openPages, pageChanges)
	b.add(plain(name+"cores", cost.Seconds()/float64(b.Seconds), openShare, ""),
		plain(name+"updates of a page", float64(frames)/openPages/float64(b.Seconds), noLimit, "/s"))
	return nil
}
