package main

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/ui/uitest"
)

// kept is what operators say of the machines, by name.
func (f *office) kept(t *testing.T, names []string) map[string]api.Machine {
	t.Helper()
	all := map[string]api.Machine{}
	for _, name := range names {
		m, err := f.Machine(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = api.Machine{Name: m.Name, State: m.State, Owner: m.Owner, Note: m.Note, Tags: m.Tags, Lock: m.Lock}
	}
	return all
}

// chooseAll does something with all machines there are.
func chooseAll(w *uitest.Window, f *office, do string, steps ...chromedp.Action[chromedp.Void]) {
	w.Do(chromedp.EmulateViewport(1440, 900), chromedp.Navigate(f.url+"/machines"), chromedp.WaitVisible(chromedp.CSS(".machines")))
	w.Says(".pulse", "Live")
	w.Eval("document.querySelector('[data-choose=none]').click()") // what was chosen before stays
	stroke(w, "a")
	w.Says("#chosen", "5 chosen")
	w.Do(chromedp.Click(chromedp.CSS("#chosen [value="+do+"]")), chromedp.WaitVisible(chromedp.CSS("[name=go]")))
	w.Do(steps...)
	w.Do(chromedp.Click(chromedp.CSS("[name=go][value=yes]")), chromedp.WaitVisible(chromedp.CSS("form.told")))
}

// What was done to many machines, of which not all qualify, is taken back, and all is as
// before; what somebody else changed meanwhile stays.
func TestUndoManyInBrowser(t *testing.T) {
	f, names := hall(t, 4)
	f.run(t, "", "machine", "tag", names[1], "old", "new")
	f.run(t, "", "machine", "lock", names[2], "--note", "mine")
	before := f.kept(t, names)
	w := uitest.New(t)
	chooseAll(w, f, "retire")
	w.Says("h1", "4 machines retired")
	w.AccessibleHere()
	w.Do(submit("form.told"), chromedp.WaitVisible(chromedp.CSS(".group")))
	w.Says("h1", "4 machines as before")
	if now := f.kept(t, names); !reflect.DeepEqual(now, before) {
		t.Errorf("after a retirement was taken back: %+v\nwas %+v", now, before)
	}

	chooseAll(w, f, "tag", chromedp.SetValue(chromedp.CSS("#tags"), "new"))
	w.Says("h1", "5 machines tagged")
	w.Says("form.told", "1 machine stays as it is")
	f.run(t, "", "machine", "edit", names[0], "--note", "of somebody else")
	w.Do(submit("form.told"), chromedp.WaitVisible(chromedp.CSS(".group.bad")))
	w.Says("h1", "3 machines as before")
	w.Says(".group.bad", "somebody changed it meanwhile")
	w.Says(".group.bad", names[0])
	w.AccessibleHere()
	now := f.kept(t, names)
	overtaken := now[names[0]]
	if overtaken.Note != "of somebody else" || len(overtaken.Tags) != 1 {
		t.Errorf("over what somebody else did: %+v", overtaken)
	}
	now[names[0]] = before[names[0]]
	if !reflect.DeepEqual(now, before) {
		t.Errorf("after tags were taken back: %+v\nwas %+v", now, before)
	}
	w.Clean(f.url)
}

// The page of a machine says what was just done to it, with the way back, which the
// keyboard reaches; over what somebody else does there is none.
func TestUndoInBrowser(t *testing.T) {
	f := newOffice(t)
	w := uitest.New(t)
	page := f.url + "/machines/" + f.m.ID
	is := func(what string, ok func(m api.Machine) bool) {
		t.Helper()
		if m, err := f.Machine(t.Context(), f.m.ID); err != nil || !ok(m) {
			t.Errorf("%s: %+v, %v", what, m, err)
		}
	}
	undo := func() {
		w.Do(chromedp.WaitVisible(chromedp.CSS("form.told button")), chromedp.SendKeys(chromedp.CSS("form.told button"), "\r"))
		w.Wait(`document.querySelector("form.told p")?.textContent.endsWith("is as it was.")`)
	}
	w.Do(chromedp.Navigate(page+"/edit"), fill("name", "elk-7"), fill("note", "second \"thoughts\" & ünder\nlines"), chromedp.Click(chromedp.CSS("main form button.btn-primary")), chromedp.WaitVisible(chromedp.CSS("form.told")))
	w.Says("form.told", "elk-7 is saved.")
	w.AccessibleHere()
	undo()
	is("an edit taken back", func(m api.Machine) bool { return m.Name == f.m.Name && m.Note == "" })
	for _, end := range []string{"retire", "restore"} {
		w.Do(chromedp.Navigate(page+"/end/"+end), submit(".ask"), chromedp.WaitVisible(chromedp.CSS("form.told")))
		if end == "restore" {
			undo()
			is("a restoration taken back", func(m api.Machine) bool { return m.State == registry.Retired })
		}
	}
	f.run(t, "", "machine", "restore", f.m.Name)
	if status, _ := f.post(t, page+"/lock", url.Values{"note": {"mine"}}); status != http.StatusOK {
		t.Errorf("lock: %d", status)
	}
	w.Do(chromedp.Navigate(page))
	w.Wait(`!document.querySelector("form.told")`) // it was somebody else
	for what, form := range map[string]url.Values{"nothing": {}, "no list": {"undo": {"{}"}}, "none": {"undo": {"[]"}}, "more": {"undo": {"[]x"}}, "a field too many": {"undo": {`[{"id":"x","v":1,"delete":true}]`}}} {
		if status, body := f.post(t, f.url+"/undo", form); status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", what, status, body)
		}
	}
	if status, body := f.post(t, f.url+"/undo", url.Values{"undo": {`[{"id":"m-nobody","v":1,"note":""}]`}}); status != http.StatusConflict || !strings.Contains(body, "not there") {
		t.Errorf("a machine that is gone: %d %s", status, body)
	}
}
