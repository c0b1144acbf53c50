package ui

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"dragonfly/registry"
	"dragonfly/ui/uitest"
)

// What was typed narrows machines, places and what can be done; a filter that is wrong
// is only worth a word where nothing else matches.
func TestPalette(t *testing.T) {
	u := newUI(t, newRack(30))
	for _, c := range []struct {
		query   string
		has     []string
		without []string
	}{
		{"", []string{`data-href="/machines"`, "<kbd>g</kbd>", "Sign out"}, []string{"amber-amber-0000", "chosen"}},
		{"q=0007", []string{"amber-heron-0007", `data-href="/machines/`}, []string{"Sign out", "Places"}},
		{"q=amber", []string{"All machines that match", `data-href="/machines?q=amber"`}, []string{"amber-indigo-0008"}},
		{"q=set+tok", []string{"Settings: API tokens"}, []string{"Sign out"}},
		{"q=stat:ready", []string{"data-fault"}, []string{"role=\"option\""}},
		{"chosen=3", []string{"3 machines chosen", "An operator may."}, nil},
		{"chosen=x", []string{"Places"}, []string{"chosen"}},
		{"q=" + strings.Repeat("a", maxSought+1), []string{"data-fault"}, nil},
		{"q=" + url.QueryEscape("<script>"), nil, []string{"<script>"}},
	} {
		w := get(t, u, "/palette?"+c.query)
		wantTexts(t, w, c.has...)
		for _, text := range c.without {
			if strings.Contains(w.Body.String(), text) {
				t.Errorf("%.40s: the palette has %q", c.query, text)
			}
		}
	}
}

func TestHasWords(t *testing.T) {
	for _, c := range []struct {
		title, sought string
		want          bool
	}{{"Settings: API tokens", "api SET", true}, {"Deploy", "ploy", false}, {"Deploy", "", true}, {"Boot once", "once boot x", false}} {
		if hasWords(c.title, c.sought) != c.want {
			t.Errorf("%q for %q: not %v", c.title, c.sought, c.want)
		}
	}
	if about := aboutMachine(registry.Machine{State: registry.Ready}); about != "ready" {
		t.Errorf("%q", about)
	}
}

// By keys alone the palette is opened, narrowed, gone through and left; what is found is
// told to a screen reader; and every page has the sheet of keys.
func TestBrowserPalette(t *testing.T) {
	server := httptest.NewServer(newUI(t, newRack(30)))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	w := uitest.New(t)
	w.Do(chromedp.Navigate(server.URL+"/machines"), chromedp.WaitVisible(chromedp.CSS("[data-open=palette]")))
	open := `document.dispatchEvent(new KeyboardEvent("keydown", {key: "k", ctrlKey: true, bubbles: true, cancelable: true}))`
	picked := func(text string) {
		t.Helper()
		w.Says("#palette [aria-selected=true]", text)
		w.Wait(`document.getElementById("sought").getAttribute("aria-activedescendant") === document.querySelector("#palette [aria-selected=true]").id`)
	}
	w.Eval(open)
	w.Wait(`document.getElementById("palette").open && document.activeElement.id === "sought"`)
	w.Do(chromedp.KeyEvent("heron"))
	w.Wait(`document.querySelectorAll("#palette [role=option]")[1]?.textContent.includes("amber-heron-0017")`)
	picked("amber-heron-0007")
	w.Do(chromedp.KeyEvent("\u0301")) // arrow down
	picked("amber-heron-0017")
	w.AccessibleHere()
	w.Do(chromedp.KeyEvent(" no such"))
	w.Says("#palette-says", "Nothing matches")
	w.Do(chromedp.KeyEvent("\x1b"))
	w.Wait(`!document.getElementById("palette").open`)
	w.Eval(`document.dispatchEvent(new KeyboardEvent("keydown", {key: "?"}))`)
	w.Says("#keys[open]", "Deployments")
	w.AccessibleHere()
	w.Do(chromedp.KeyEvent("\x1b"))
	w.Wait(`!document.getElementById("keys").open`)
	w.Clean(server.URL)
	w.Eval(open)
	w.Wait(`document.activeElement.id === "sought"`)
	w.Do(chromedp.KeyEvent("api ref"))
	picked("API reference")
	w.Do(chromedp.KeyEvent("\r"))
	w.Wait(`location.pathname === "/docs"`)
}

// Who types and goes on by arrow and Enter before the answer is there gets what the text
// finds, and never what the list had before.
func TestBrowserPaletteTakesKeysEarly(t *testing.T) {
	u := newUI(t, newRack(30))
	held, went := make(chan struct{}), make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/palette" && r.FormValue("q") == "heron":
			select {
			case <-held:
			case <-r.Context().Done():
			}
		case strings.HasPrefix(r.URL.Path, "/machines/m-"):
			went <- r.URL.Path
			w.WriteHeader(http.StatusNoContent)
			return
		}
		u.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	w := uitest.New(t)
	w.Do(chromedp.Navigate(server.URL+"/machines"), chromedp.WaitVisible(chromedp.CSS("[data-open=palette]")))
	w.Eval(`document.dispatchEvent(new KeyboardEvent("keydown", {key: "k", ctrlKey: true, bubbles: true, cancelable: true}))`)
	w.Says("#palette [aria-selected=true]", "Machines")
	w.Do(chromedp.KeyEvent("hero"))
	w.Says("#palette [aria-selected=true]", "amber-heron-0007")
	w.Do(chromedp.KeyEvent("n\u0301\r")) // arrow down, Enter
	time.Sleep(100 * time.Millisecond)   // in which nothing may happen
	if len(went) > 0 {
		t.Fatalf("Enter did not wait for the answer: %s", <-went)
	}
	close(held)
	if at := <-went; at != "/machines/"+testMachine(17).ID {
		t.Errorf("Enter led to %s", at)
	}
}

// An Enter that is pressed again while a page is on its way goes to the palette, and not
// to the form of the row behind it, of which the first button is Deploy. The way back
// leads to a page without the palette.
func TestBrowserPaletteHoldsKeys(t *testing.T) {
	u := newUI(t, newRack(3), func(c *Config) { c.Records = namedRecords{} })
	asked := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/docs" || r.URL.Path == "/machines/bulk" {
			asked <- r.URL.Path + " " + r.FormValue("do")
			time.Sleep(time.Second)
		}
		if r.Method == http.MethodPost {
			http.Redirect(w, r, "/docs", http.StatusSeeOther)
			return
		}
		u.ServeHTTP(w, r.WithContext(registry.WithActor(r.Context(), registry.Actor{Name: "ana", Role: string(registry.Operator)})))
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	w := uitest.New(t)
	for _, c := range []struct{ sought, picked, want string }{
		{"api ref", "API reference", "/docs "},
		{"retire", "Retire", "/machines/bulk retire"},
	} {
		w.Do(chromedp.Navigate(server.URL+"/machines"), chromedp.WaitVisible(chromedp.CSS(".machines")))
		w.Eval(`sessionStorage.clear()`)
		w.Do(chromedp.Reload(), chromedp.Click(chromedp.CSS(".pick input[name=machine]")))
		w.Eval(`document.dispatchEvent(new KeyboardEvent("keydown", {key: "k", ctrlKey: true, bubbles: true, cancelable: true}))`)
		w.Wait(`document.activeElement.id === "sought"`)
		w.Do(chromedp.KeyEvent(c.sought))
		w.Says("#palette [aria-selected=true]", c.picked)
		w.Do(chromedp.KeyEvent("\r\r"))
		w.Wait(`location.pathname === "/docs" && document.readyState === "complete"`)
		for len(asked) > 0 {
			if got := <-asked; got != c.want && got != "/docs " {
				t.Errorf("Enter twice on %q: asked for %s", c.picked, got)
			}
		}
		w.Eval(`history.back()`)
		w.Wait(`location.pathname === "/machines" && !document.getElementById("palette").open`)
	}
}
