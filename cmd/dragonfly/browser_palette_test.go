package main

import (
	"testing"

	"github.com/chromedp/chromedp"

	"dragonfly/ui/uitest"
)

// palette opens it by key, and types.
func palette(w *uitest.Window, text string) {
	w.Eval(`document.dispatchEvent(new KeyboardEvent("keydown", {key: "k", ctrlKey: true, bubbles: true, cancelable: true}))`)
	w.Wait(`document.querySelector("#palette").open && document.activeElement.id === "sought"`)
	w.Do(chromedp.KeyEvent(text))
}

// picked waits until a line of the palette is the one that Enter takes.
func picked(w *uitest.Window, text string) {
	w.Says("#palette [aria-selected=true]", text)
	w.Wait(`document.querySelector("#sought").getAttribute("aria-activedescendant") === document.querySelector("#palette [aria-selected=true]").id`)
}

// By keys alone one goes to a machine, does something with it, and with those that are
// chosen; and reads which keys there are.
func TestPaletteInBrowser(t *testing.T) {
	f := newOffice(t)
	_, other := f.rack(t, 2, 100e9)
	w := uitest.New(t)
	enter := chromedp.KeyEvent("\r")
	w.Do(chromedp.Navigate(f.url+"/health"), chromedp.WaitVisible(chromedp.CSS("[data-open=palette]")))
	palette(w, "SN-2")
	picked(w, other.Name)
	w.Do(enter, chromedp.WaitVisible(chromedp.CSS("#machine")))
	w.Says("h1", other.Name)
	palette(w, "edit")
	picked(w, "Edit name")
	w.Do(enter, chromedp.WaitVisible(chromedp.CSS("#owner")))
	w.Do(chromedp.Navigate(f.url+"/machines"), chromedp.Click(chromedp.CSS("#"+f.m.ID+" .pick input")))
	palette(w, "retire")
	picked(w, "Retire")
	w.Says("#palette", "1 machine chosen")
	w.Do(enter)
	w.Says("h1", "Retire")
	w.Do(chromedp.Navigate(f.url+"/machines"), chromedp.WaitVisible(chromedp.CSS(".machines")))
	w.Eval(`sessionStorage.clear()`)
	for _, width := range []int64{360, 1440} {
		w.Do(chromedp.EmulateViewport(width, 740), chromedp.Navigate(f.url+"/machines"))
		palette(w, "s")
		picked(w, "Systems")
		w.AccessibleHere()
		w.Do(chromedp.KeyEvent("\x1b"))
		w.Wait(`!document.querySelector("#palette").open`)
		w.Eval(`document.dispatchEvent(new KeyboardEvent("keydown", {key: "?"}))`)
		w.Says("#keys[open]", "Deployments")
		w.AccessibleHere()
		w.Do(chromedp.KeyEvent("\x1b"))
	}
	palette(w, "nothing is called so")
	w.Says("#palette-says", "Nothing matches")
	w.Clean(f.url)
}
