// Package uitest looks at pages as a person does: with a real browser.
package uitest

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Window is a real browser on one page. It keeps what went wrong in it.
type Window struct {
	Context context.Context // of chromedp

	t *testing.T

	mu       sync.Mutex
	complain []string // console messages and refused requests
	hosts    map[string]bool
}

// New opens a window with a profile of its own in the browser that the tests of the
// package share; [Main] ends that one.
func New(t *testing.T) *Window {
	t.Helper()
	browser, err := started()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(browser.Context, 5*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	w := &Window{t: t, Context: ctx, hosts: map[string]bool{}}
	w.watch()
	return w
}

// watch notes what the page logs and whom it asks, until the test ends.
func (w *Window) watch() {
	console := chromedp.Console(w.Context)
	requests := chromedp.Events(w.Context, network.RequestWillBeSent)
	_, err := chromedp.Call(w.Context, network.Enable, network.EnableParams{})
	if err == nil { // tests that run at once each have the window that one types in
		_, err = chromedp.Call(w.Context, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	}
	if err == nil {
		_, err = chromedp.Call(w.Context, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: leaving})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		for message, err := range console {
			if err != nil {
				return
			}
			w.mu.Lock()
			w.complain = append(w.complain, string(message.Type)+": "+message.Text)
			w.mu.Unlock()
		}
	}()
	go func() {
		for event, err := range requests {
			if err != nil {
				return
			}
			w.mu.Lock()
			w.hosts[hostOf(event.Request.URL)] = true
			w.mu.Unlock()
		}
	}()
}

// hostOf is where a request goes; data: and about: go nowhere.
func hostOf(address string) string {
	at, err := url.Parse(address)
	if err != nil || at.Host == "" {
		scheme, _, _ := strings.Cut(address, ":")
		return scheme
	}
	return at.Host
}

// leaving notes in a page that it was told to go to another.
const leaving = `
	addEventListener("submit", (event) => { if (!event.defaultPrevented) window.leaving = true; });
	addEventListener("click", (event) => {
		const link = event.target.closest?.("a[href]");
		if (link && !event.defaultPrevented && !link.download && !link.getAttribute("href").startsWith("#")) window.leaving = true;
	});`

// arriveFor is how long a page may take to come. One that does not leave after all, as
// what is sent is a file, costs as much.
const arriveFor = 10 * time.Second

// arrive returns when the page that was asked for is there, and whole: what looks like it
// may be the one before, which is about to go.
func (w *Window) arrive() {
	for began := time.Now(); time.Since(began) < arriveFor && w.Context.Err() == nil; time.Sleep(10 * time.Millisecond) {
		there, err := chromedp.Run(w.Context, chromedp.Evaluate[bool](`!window.leaving && document.readyState === "complete"`))
		if err == nil && there {
			return
		}
	}
	_, _ = chromedp.Run(w.Context, chromedp.Evaluate[any]("window.leaving = false"))
}

// Do does steps, one after the other, and waits for the page that one of them leads to. A
// live page may put another element in the place of one between finding it and using it:
// then that step is done again.
func (w *Window) Do(steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	for _, step := range steps {
		err := chromedp.Do(w.Context, step)
		for err != nil && strings.Contains(err.Error(), "No node with given id found") {
			err = chromedp.Do(w.Context, step)
		}
		if err != nil {
			w.t.Fatal(err)
		}
		w.arrive()
	}
}

// Wait returns when the expression is true in the page.
func (w *Window) Wait(expression string) {
	w.t.Helper()
	_, err := chromedp.Run(w.Context, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(time.Minute)))
	for err != nil && (strings.Contains(err.Error(), "navigated") || strings.Contains(err.Error(), "Cannot find context")) { // the page went away under it: ask the next one
		_, err = chromedp.Run(w.Context, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(time.Minute)))
	}
	if err != nil {
		html, _ := chromedp.Run(w.Context, chromedp.OuterHTML(chromedp.CSS("main")))
		w.t.Fatalf("%s: %v\n%.3000s\n%q", expression, err, html, w.complain)
	}
}

// Says waits until an element holds the text.
func (w *Window) Says(selector, text string) {
	w.t.Helper()
	w.Wait(fmt.Sprintf("!!document.querySelector(%q)?.textContent.includes(%q)", selector, text))
}

// Eval runs a script in the page, as a developer's console would.
func (w *Window) Eval(script string) {
	w.t.Helper()
	if _, err := chromedp.Run(w.Context, chromedp.Evaluate[any]("("+"() => {"+script+"}"+")()")); err != nil {
		w.t.Fatalf("%s: %v", script, err)
	}
}

// Clean fails the test when the page logged anything (a refusal of the content
// security policy is logged) or asked another host
// than that of base.
func (w *Window) Clean(base string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, text := range w.complain {
		w.t.Errorf("the page logs %s", text)
	}
	own := strings.TrimPrefix(base, "http://")
	if !w.hosts[own] {
		w.t.Errorf("no request was seen, so nothing is known of the hosts: %v", w.hosts)
	}
	for host := range w.hosts {
		if host != own && host != "data" && host != "about" {
			w.t.Errorf("the page asks %s", host)
		}
	}
}
