package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/ui/uitest"
)

// How far a deployment is stands in the row of its machine, and moves without the row
// being made anew; when it is over the row says how it ended.
func TestProgressInRow(t *testing.T) {
	f := newOffice(t)
	d := f.ask(t, registry.FirstBootNone)
	w := uitest.New(t)
	w.Do(chromedp.EmulateViewport(1440, 900), chromedp.Navigate(f.url+"/machines"), chromedp.WaitVisible(chromedp.CSS(".machines")))
	w.Says(".pulse", "Live")
	work := f.claim(t, "boot-0001")
	tell := func(done int64) {
		f.tell(t, api.ReportRequest{Deployment: work.Deployment, Attempt: work.Attempt, State: registry.ActionRunning, Wrote: true,
			Progress: &registry.Progress{Done: done, Total: 1000e6, Rate: 100e6}}, "continue")
	}
	tell(100e6)
	row := "#" + f.m.ID
	w.Says(row+" .doing", "100 MB of 1 GB, 100 MB/s")
	w.Says(row+" .state", "installing")
	w.Eval(fmt.Sprintf(`window.row = document.querySelector(%q); window.percent = Number(row.querySelector("progress").value)`, row))
	tell(700e6)
	w.Says(row+" .doing", "700 MB of 1 GB")
	w.Wait(`row.isConnected && Number(row.querySelector("progress").value) > percent && row.querySelector(".meter b").textContent === row.querySelector("progress").value + " %"`)
	w.Do(chromedp.Reload(), chromedp.WaitVisible(chromedp.CSS(row+" progress"))) // a page that is opened meanwhile has it at once
	f.tell(t, api.ReportRequest{Deployment: work.Deployment, Attempt: work.Attempt, State: registry.ActionFailed, Wrote: true, Message: "the disk answers no more"}, "continue")
	f.becomes(t, d.ID, registry.DeploymentFailed)
	w.Says(row+" .doing", "the disk answers no more")
	w.Wait(fmt.Sprintf(`!document.querySelector("%s progress")`, row))
	w.Clean(f.url)
}

// A machine is edited where it stands, by keys and by hand; nothing that is typed is
// lost, whatever the server sends or somebody else does; and there is a way back.
func TestEditInRow(t *testing.T) {
	f := newOffice(t)
	w := uitest.New(t)
	w.Do(chromedp.EmulateViewport(1440, 900), chromedp.Navigate(f.url+"/machines?cols=state,tags,os,note"), chromedp.WaitVisible(chromedp.CSS(".machines")))
	w.Says(".pulse", "Live")
	open := func() {
		stroke(w, "j")
		stroke(w, "e")
		w.Do(chromedp.WaitVisible(chromedp.CSS("#inline-form")))
	}
	enter := func() { w.Do(chromedp.Focus(chromedp.CSS("#inline-name")), chromedp.KeyEvent("\r")) }
	row := "#" + f.m.ID

	open()
	w.Wait(`document.activeElement.id === "inline-name"`)
	w.AccessibleHere()
	w.Do(chromedp.EmulateViewport(1440, 900))
	w.Do(chromedp.SetValue(chromedp.CSS("#inline-name"), "Not A Name"), chromedp.SetValue(chromedp.CSS("#inline-tags"), "gpu, prod"))
	enter()
	w.Says("#name-why", "name")
	f.run(t, "", "machine", "edit", f.m.ID, "--owner", "ben") // its row is sent anew
	w.Do(chromedp.SetValue(chromedp.CSS("#inline-name"), "rack1-7"))
	enter()
	w.Says("#inline-form .fault", "Somebody changed "+f.m.Name)
	w.Says("#tags-why", "Now it is: nothing")
	w.Do(chromedp.SetValue(chromedp.CSS("#inline-os"), "mine-none"), chromedp.SetValue(chromedp.CSS("#inline-note"), "cold aisle"))
	enter()
	w.Says(row+" th", "rack1-7")
	w.Says(row, "cold aisle")
	w.Says("#told", "rack1-7 is saved")
	w.Wait(`!document.querySelector(".inline")`)
	if m, err := f.Machine(t.Context(), "rack1-7"); err != nil || m.Owner != "ben" || m.OS != "mine-none" || !slices.Equal(m.Tags, []string{"gpu", "prod"}) {
		t.Errorf("%+v, %v", m, err)
	}
	w.Do(chromedp.Click(chromedp.CSS("#told button")))
	w.Says("#told", "is as it was")
	w.Says(row+" th", f.m.Name)

	open()
	w.Do(chromedp.SetValue(chromedp.CSS("#inline-note"), "not kept"), chromedp.KeyEvent("\x1b"), chromedp.WaitNotPresent(chromedp.CSS(".inline")))
	w.Eval(fmt.Sprintf(`document.querySelector("%s .note-cell").dispatchEvent(new MouseEvent("dblclick", {bubbles: true}))`, row))
	w.Wait(`document.activeElement.id === "inline-note" && document.activeElement.value === ""`)
	if status, body := f.post(t, f.url+"/machines/"+f.m.ID+"/inline", url.Values{"name": {"x"}, "version": {"3"}}); status != http.StatusBadRequest || !strings.Contains(body, "tags") {
		t.Errorf("a form without most of its fields: %d %s", status, body)
	}
}
